"""Whole networks that were timed on a device: what a table's predictions are held against."""
