"""Quantisers: how values are put on a grid of few bits, and how that grid is found."""
