"""Forebay: event-driven ingestion that loses nothing and can explain itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forebay.app import Forebay, open_forebay
    from forebay.settings import load_settings

__version__ = "0.1.0"
__all__ = ["Forebay", "__version__", "load_settings", "open_forebay"]


def __getattr__(name: str) -> Any:
    """Load the whole program only for those who embed it."""
    if name in ("Forebay", "open_forebay"):
        from forebay import app

        return getattr(app, name)
    if name == "load_settings":
        from forebay.settings import load_settings

        return load_settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
