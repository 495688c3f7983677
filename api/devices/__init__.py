"""Devices that people measure."""
