"""Search jobs: the row with its lease, events, and what a worker may do with them."""
