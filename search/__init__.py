"""Which architecture: search spaces, the differentiable search, the exact derivation, training and export.

Importing this package loads nothing heavy: `search.space`, `search.spec` and `search.derive` are torch-free, so that
the API can validate a job by itself.
"""
