"""Baselines that learn which network they propose before it is trained."""
