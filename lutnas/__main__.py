"""`python -m lutnas`: the same as the command `lutnas`."""

from lutnas.cli import main

main()
