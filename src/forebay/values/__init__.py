"""Frozen values that flow through the program. No I/O here."""
