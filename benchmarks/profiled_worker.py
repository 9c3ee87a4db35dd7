"""A parser worker that notes where its CPU time goes; its sums are in a file beside it."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.parts import part_of
from benchmarks.sampling import Sampler

if __name__ == "__main__":
    Sampler(part_of, Path.cwd() / f"profile-{os.getpid()}.json")

    from forebay.pipeline.workers.worker import main

    main()
