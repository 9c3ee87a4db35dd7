from __future__ import annotations

import pytest

from forebay.pipeline.embedders.processor import choose_instructions, instructions_for

AVX512 = "avx avx2 fma avx512f avx512dq avx512cd avx512bw avx512vl"


def cpuinfo(vendor: str, flags: str) -> str:
    one = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: Some processor: fast\nflags\t\t: fpu {flags}\npower management:\n"
    return f"{one}\n{one}\n"


ARM = "processor\t: 0\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd asimddp i8mm\nCPU implementer\t: 0x41\n"


@pytest.mark.parametrize(
    ("processor", "environment", "words"),
    [
        (cpuinfo("AuthenticAMD", f"{AVX512} avx512_vnni"), {"CT2_FORCE_CPU_ISA": "AVX512", "CT2_USE_MKL": "0"}, "with AVX-512, with VNNI"),
        (cpuinfo("AuthenticAMD", AVX512), {"CT2_FORCE_CPU_ISA": "AVX512", "CT2_USE_MKL": "0"}, "with AVX-512, without VNNI"),
        (cpuinfo("AuthenticAMD", "avx avx2 fma"), {"CT2_USE_MKL": "0"}, "AuthenticAMD without AVX-512"),
        (cpuinfo("AuthenticAMD", AVX512.replace(" avx512bw", "")), {"CT2_USE_MKL": "0"}, "without AVX-512"),
        (cpuinfo("HygonGenuine", AVX512), {"CT2_FORCE_CPU_ISA": "AVX512", "CT2_USE_MKL": "0"}, "HygonGenuine"),
        (cpuinfo("GenuineIntel", f"{AVX512} avx512_vnni"), {}, "Intel"),
        (ARM, {}, "own choice"),
        ("", {}, "own choice"),
    ],
)
def test_instructions_follow_from_the_kind_of_processor(processor: str, environment: dict[str, str], words: str) -> None:
    chosen = instructions_for(processor, {"HOME": "/root"})
    assert chosen.environment == environment
    assert words in chosen.reason


@pytest.mark.parametrize("name", ["CT2_FORCE_CPU_ISA", "CT2_USE_MKL"])
def test_what_the_user_has_set_stays(name: str) -> None:
    chosen = instructions_for(cpuinfo("AuthenticAMD", AVX512), {name: "1"})
    assert chosen.environment == {}
    assert chosen.reason == f"set by {name}=1"


def test_a_choice_is_made_once() -> None:
    environment = {"HOME": "/root"}
    first = choose_instructions(environment)
    assert environment == {"HOME": "/root", **first.environment}
    assert choose_instructions(environment).environment == {}
