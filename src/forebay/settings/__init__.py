"""Every setting of Forebay: one frozen tree, read once, with the origin of each value.

A setting's name is its environment variable without `FOREBAY_`, in lower case, whatever group it lives in.
docs/configuration.md is generated from the tree.
"""

from forebay.settings.leaf import Leaf, display
from forebay.settings.load import load_settings
from forebay.settings.parsers import Secret
from forebay.settings.tree import NOISE_PATTERNS, SECRET_PATTERNS, Settings, leaves

__all__ = ["NOISE_PATTERNS", "SECRET_PATTERNS", "Leaf", "Secret", "Settings", "display", "leaves", "load_settings"]
