"""Which instructions of this machine's processor the default embedder computes with, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

_AVX512_FLAGS = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """What CTranslate2 is told through the environment; nothing where its own choice is good."""

    environment: Mapping[str, str]
    reason: str


def instructions_for(processor: str, environment: Mapping[str, str]) -> Instructions:
    """The choice for a processor as `/proc/cpuinfo` describes it; what `environment` has set already stays.

    CTranslate2 (4.8) takes AVX-512 by itself on Intel's processors only, where it also computes with Intel's library.
    Everywhere else it takes AVX2 at most, which does 0.8 of the texts (docs/benchmarks.md).
    """
    set_already = [f"{name}={environment[name]}" for name in ("CT2_FORCE_CPU_ISA", "CT2_USE_MKL") if name in environment]
    if set_already:
        return Instructions(environment={}, reason=f"set by {' '.join(set_already)}")
    first = processor.split("\n\n", 1)[0]
    fields = {name.strip(): value.split() for name, _, value in (line.partition(":") for line in first.splitlines())}
    vendor, flags = fields.get("vendor_id"), frozenset(fields.get("flags", ()))
    if vendor is None:
        return Instructions(environment={}, reason="CTranslate2's own choice for this processor")
    if vendor == ["GenuineIntel"]:
        return Instructions(environment={}, reason="CTranslate2's own choice on Intel's processors")
    if flags >= _AVX512_FLAGS:
        # Intel's library does a tenth of the texts on others' processors
        return Instructions(
            environment={"CT2_FORCE_CPU_ISA": "AVX512", "CT2_USE_MKL": "0"},
            reason=f"{' '.join(vendor)} with AVX-512, {'with' if 'avx512_vnni' in flags else 'without'} VNNI",
        )
    return Instructions(environment={"CT2_USE_MKL": "0"}, reason=f"{' '.join(vendor)} without AVX-512")


def choose_instructions(environment: MutableMapping[str, str] = os.environ) -> Instructions:
    """Set what CTranslate2 reads when it is first imported; later calls see that it is set and change nothing."""
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        processor = ""
    chosen = instructions_for(processor, environment)
    environment.update(chosen.environment)
    return chosen
