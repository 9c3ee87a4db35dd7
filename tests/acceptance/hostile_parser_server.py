"""The program with a parser that does what the text of a file tells it to."""

import sys
from functools import partial
from pathlib import Path

from forebay.cli.main import main
from forebay.pipeline.workers import pool

sys.path.insert(0, str(Path(__file__).parents[2]))
pool.WorkerPool = partial(pool.WorkerPool, worker_module="tests.integration.misbehaving_worker")  # type: ignore[assignment, misc]
main()
