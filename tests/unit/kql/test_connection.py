"""What a connection needs before it can run compiled SQL."""

from __future__ import annotations

import subprocess
import sys

TWO_CURSORS = """
import gc
import duckdb
from forebay.telemetry.kql import functions
from forebay.telemetry.kql.connection import define_python
from forebay.telemetry.kql.functions import registry

functions.load()
name = next(each.python_name for each in registry.find("series_fill_linear") if each.python is not None)
base = duckdb.connect()
for _ in range(20):
    cursor = base.cursor()
    define_python(cursor, [name])
    count = len(registry.python_function(name).parameters)
    cursor.execute(f"SELECT {name}({', '.join(['NULL'] * count)}) FROM range(5000)").fetchall()
    cursor.close()
    gc.collect()
print("answered")
"""


def test_a_function_lives_on_when_the_connection_that_made_it_known_is_closed():
    # in a process of its own: to call what was freed is a crash
    found = subprocess.run([sys.executable, "-c", TWO_CURSORS], capture_output=True, text=True, timeout=60, check=False)
    assert "answered" in found.stdout, found.stderr[-500:]
