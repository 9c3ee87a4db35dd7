"""The compiler is quick: it imports little, and a query takes a fraction of what DuckDB takes for it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.query.translation import schema_of_project

LIMIT_MS = 3.0  # three times the target; about ten times of what it takes

QUERIES = (
    "requests | where timestamp > ago(6h) | summarize count() by bin(timestamp, 5m), cloud_RoleName | render timechart",
    "requests | summarize n = count(), failed = countif(success == 'False') by name | extend rate = 100.0 * failed / n | top 10 by rate",
    "requests | where timestamp between (ago(1d) .. now()) | summarize percentiles(duration, 50, 95, 99) by name | order by name asc",
    "let slow = requests | where duration > 1000; traces | where operation_Id in ((slow | project operation_Id)) | take 10",
    "union requests, dependencies | extend tenant = tostring(customDimensions.tenant) | summarize dcount(user_Id), avg(duration) by tenant",
)


def test_compiling_takes_a_fraction_of_running():
    schema = schema_of_project(is_bounded=False)
    least = []
    for query in QUERIES:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            compile_query(query, schema)
            took.append(time.perf_counter() - began)
        least.append(min(took) * 1000)
    assert statistics.median(least) < LIMIT_MS


def test_the_compiler_imports_neither_the_database_nor_other_heavy_modules():
    script = (
        "import sys; from forebay.telemetry.kql import compiler, functions, sql;"
        " from forebay.telemetry.kql.binding import operators, spread;"
        " functions.load(), operators.load(), spread.load(), sql.load(); print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    assert "forebay.telemetry.kql.functions.text_search" in found
    assert not {"duckdb", "numpy", "pandas", "pyarrow", "asyncio", "email", "http", "xml", "zoneinfo", "statistics"}.intersection(found)
