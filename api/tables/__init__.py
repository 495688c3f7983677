"""Latency tables of devices: immutable versions, taken whole or not at all."""
