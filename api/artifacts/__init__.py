"""Files: the store, and the rows that make them real."""
