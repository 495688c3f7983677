"""Who wrote what: a row for each write of a token, in the write's own unit of work."""
