"""Frozen records of the domain and their canonical bytes."""
