"""Run every benchmark, or those that are named."""

from __future__ import annotations

import runpy
import sys

NAMES = (
    "scan",
    "engine",
    "embedder",
    "pipeline",
    "retrieval",
    "search_scale",
    "telemetry_log",
    "telemetry_store",
    "telemetry_http",
    "kql",
    "program",
    "flood",
    "scale",
    "sustained",
    "observation",
    "profile",
)


def main() -> int:
    chosen = sys.argv[1:] or list(NAMES)
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        print(f"unknown benchmarks: {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"\n== {name}", flush=True)
        sys.argv = [f"benchmarks.{name}"]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
