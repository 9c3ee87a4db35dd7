"""Findings of the content scan."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Something in a file that looks like a secret."""

    kind: str  # a name of `pipeline.content_scan.KINDS`
    line: int  # from 1
    excerpt: str  # what stands before it, never the secret itself
