"""Merging, checking and repairing what is stored."""
