"""Fields: facts found in a document, each with the place that it was read from."""

from __future__ import annotations

from typing import Literal

import msgspec

FieldName = Literal["title", "language", "date", "email", "url", "money", "heading", "symbol", "import"]


class Field(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One fact. A struct and not a dataclass: thousands are made a second, and sent from a parser process to its parent.

    The span is where in the decoded text it was read; it is empty where the value comes from outside of the text (a file's
    name or format).
    """

    name: FieldName
    value: str  # dates as YYYY-MM-DD, money as `EUR 1200.50`, all else as it is written
    start: int  # code points, half open
    end: int
    confidence: float  # from 0 to 1, by method: see `pipeline.extract_fields`
