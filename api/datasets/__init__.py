"""Data sets: the built-in ones and people's own."""
