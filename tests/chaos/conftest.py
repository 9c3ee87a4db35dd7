"""Scenarios import `program` from the acceptance tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))
