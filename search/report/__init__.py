"""What a finished search says of itself, to be defended before colleagues: figures, comparisons, a page to print."""
