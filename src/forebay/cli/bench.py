"""`forebay bench`: what Forebay does on this machine, in figures."""

from __future__ import annotations

import dataclasses
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from forebay import __version__
from forebay.cli.bench_corpus import write_corpus
from forebay.cli.connection import Connection
from forebay.cli.execution import run
from forebay.cli.options import AsJson, DataDirectory, settings_with
from forebay.cli.output import bold, counted, dim, duration_text, print_json, print_table, visible
from forebay.cli.progress import Tally, progress
from forebay.errors import ForebayError
from forebay.settings import Settings
from forebay.settings.tree import REMOTE_EMBEDDERS

FILES = 120
SYNC_SECONDS = 0.5
SAMPLE_TEXTS = 256
UPLOADS = 7
SEARCHES = 50


def bench(
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Index this folder instead of generated files; nothing in it is changed.")
    ] = None,
    files: Annotated[int, typer.Option(min=1, max=100_000, help="How many files of 4 KB to generate.")] = FILES,
    as_json: AsJson = False,
    data_dir: DataDirectory = None,
) -> None:
    """Measure Forebay on this machine, in less than a minute.

    Everything happens in a temporary directory beside the data directory, so on the same disk, and goes away afterwards; nothing is sent
    anywhere. A ratio compares a figure with a yardstick of the same run, so that it means something on another machine too.
    """
    if folder is not None and not folder.is_dir():
        raise ForebayError("wrong_usage", f"expected a folder, got {folder}", hint="Without --dir, files are generated.")
    settings = settings_with(data_dir=data_dir)
    parent = _existing_parent(settings.data_dir.absolute())
    started = time.perf_counter()
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".forebay-bench-", dir=parent)
    except OSError as error:
        raise ForebayError(
            "data_dir_unusable", f"{parent} cannot be written: {error.strerror}", hint="Set FOREBAY_DATA_DIR, or --data-dir."
        ) from error
    with scratch as temporary:
        watched = Path(temporary) / "files" if folder is None else folder.resolve()
        if folder is None:
            write_corpus(watched, files)
        report = run(_measured(_settings_of_the_run(settings, Path(temporary) / "data", watched), watched, Path(temporary)))
    report["seconds"] = round(time.perf_counter() - started, 1)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _settings_of_the_run(settings: Settings, data_dir: Path, watched: Path) -> Settings:
    """Those of the user, elsewhere, and with the local embedder for a remote one: measuring must not cost money."""
    embedding = settings.embedding
    if embedding.embedder_in_force in REMOTE_EMBEDDERS:
        embedding = dataclasses.replace(embedding, embedder="minilm")
    intake = dataclasses.replace(settings.intake, watch=(watched,))
    return dataclasses.replace(settings, data_dir=data_dir, intake=intake, embedding=embedding)


async def _measured(settings: Settings, folder: Path, scratch: Path) -> dict[str, Any]:
    import httpx

    from forebay.app import open_forebay
    from forebay.cli import measure
    from forebay.cli.measure import Figure

    memory = measure.Memory()
    _step("the disk")
    syncs = measure.sync_rate(scratch, SYNC_SECONDS)
    async with memory.watched(), open_forebay(settings) as program:
        await program.core.adapters.embedder.embed(["the first text loads the model"])
        transport = httpx.ASGITransport(app=program.asgi, raise_app_exceptions=False)
        headers = {"X-API-Key": program.admin_key}
        async with httpx.AsyncClient(base_url="http://127.0.0.1:8000", transport=transport, headers=headers, timeout=None) as client:  # noqa: S113 - in this process
            connection = Connection(client=client, place="in-process")
            _step("files to searchable")
            with progress() as shown:
                summary = await measure.until_searchable(program, connection, lambda found: shown.show(_tally(found)))
            if not summary["chunks"]:
                raise ForebayError(
                    "wrong_usage", f"expected files with some text in {folder}, found none", hint="Without --dir, files are generated."
                )
            _step("the embedder alone")
            texts = await measure.sample_of_chunks(connection, SAMPLE_TEXTS)
            embedded_per_second = await measure.embedding_rate(program, texts)
            _step("the unchanged folder")
            compared, walked = await measure.unchanged_comparison(program, folder)
            _step("uploads")
            hit, bare = await measure.upload_to_hit(program, connection, scratch, UPLOADS)
            _step("searches")
            median, late, question = await measure.search_seconds(program, connection, SEARCHES)
    chunks_per_second = summary["chunks"] / summary["seconds"]
    figures = [
        Figure(name="disk: confirmed writes of 4 KB", value=syncs, unit="/s"),
        Figure(name="embedder alone", value=embedded_per_second, unit="texts/s"),
        Figure(name="files to searchable", value=summary["arrivals"] / summary["seconds"], unit="files/s"),
        Figure(
            name="chunks to searchable",
            value=chunks_per_second,
            unit="chunks/s",
            ratio=chunks_per_second / embedded_per_second,
            yardstick="the embedder alone",
        ),
        Figure(
            name="comparison of the unchanged folder",
            value=compared * 1000,
            unit="ms",
            ratio=compared / walked,
            yardstick=f"a bare walk with stat, {walked * 1000:.1f} ms",
        ),
        Figure(
            name="upload of 4 KB to first hit",
            value=hit * 1000,
            unit="ms",
            ratio=hit / bare,
            yardstick=f"embedding it and one confirmed write, {bare * 1000:.0f} ms",
        ),
        Figure(
            name="search, median",
            value=median * 1000,
            unit="ms",
            ratio=median / question,
            yardstick=f"embedding the question, {question * 1000:.1f} ms",
        ),
        Figure(name="search, 95th percentile", value=late * 1000, unit="ms"),
        Figure(name="memory at most, all processes", value=memory.peak_bytes / (1 << 20), unit="MiB"),
    ]
    return {
        "version": __version__,
        "machine": {
            "processor": processor_name(),
            "embed_threads": settings.embedding.embed_threads,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "corpus": {"files": summary["arrivals"], "chunks": summary["chunks"], "seconds": round(summary["seconds"], 2)},
        "embedder": program.core.adapters.embedder.model_id,
        "figures": [_rounded(figure) for figure in figures],
    }


def processor_name() -> str:
    """The processor as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _tally(summary: dict[str, Any]) -> Tally:
    outcomes = summary["outcomes"]
    skipped, failed = outcomes.get("skipped", 0), outcomes.get("failed", 0)
    indexed = sum(outcomes.values()) - skipped - failed
    return Tally(total=summary["arrivals"], indexed=indexed, skipped=skipped, failed=failed, chunks=summary["chunks"])


def _rounded(figure: Any) -> dict[str, Any]:
    found: dict[str, Any] = dataclasses.asdict(figure)
    found["value"] = round(figure.value, 1 if figure.value >= 10 else 3)
    found["ratio"] = None if figure.ratio is None else float(f"{figure.ratio:.3g}")
    return found


def _print(report: dict[str, Any]) -> None:
    machine, corpus = report["machine"], report["corpus"]
    print(
        bold(f"Forebay {report['version']}")
        + f" on {visible(machine['processor'])}, {counted(machine['embed_threads'], 'thread')} to embed"
    )
    print(dim(f"Python {machine['python']}, {visible(machine['system'])}; {visible(report['embedder'])}"))
    print(f"{counted(corpus['files'], 'file')}, {counted(corpus['chunks'], 'chunk')}; all of it in {duration_text(report['seconds'])}\n")
    rows = []
    for figure in report["figures"]:
        ratio = "" if figure["ratio"] is None else f"{_short(figure['ratio'])} x"
        rows.append((figure["name"], _short(figure["value"]), figure["unit"], ratio, figure["yardstick"]))
    print_table(("WHAT", "FIGURE", "", "RATIO", "TO"), rows, right=(1, 3))


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _step(name: str) -> None:
    print(f"measuring {name}", file=sys.stderr, flush=True)


def _existing_parent(path: Path) -> Path:
    """The nearest folder above `path` that exists."""
    return path.parent if path.parent.is_dir() or path.parent == path else _existing_parent(path.parent)
