"""Derived architectures: what a search gave."""
