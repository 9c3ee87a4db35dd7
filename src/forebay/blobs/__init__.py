"""Blobs: bytes with flat names in containers, behind one port."""
