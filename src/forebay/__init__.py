"""Forebay: event-driven ingestion that loses nothing and can explain itself."""

__version__ = "0.1.0"
