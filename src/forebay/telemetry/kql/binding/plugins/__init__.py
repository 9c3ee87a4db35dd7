"""Plugins of `evaluate`, each file some of a kind."""
