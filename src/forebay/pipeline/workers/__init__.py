"""Supervised processes in which hostile or heavy files are parsed."""
