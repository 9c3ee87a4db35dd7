"""Which part of the program a stack belongs to."""

from __future__ import annotations

import linecache
from types import FrameType

from benchmarks.sampling import STARTING

# (end of the file's path, function or "" for any, what the line has to hold or "" for anything) -> part; the innermost frame that any rule
# fits decides, and the first rule that fits it
_RULES = (
    ("pipeline/chunk.py", "", "", "cutting"),
    ("pipeline/symbols.py", "", "", "cutting: outlines of code"),
    ("pipeline/headings.py", "", "", "cutting: outlines of code"),
    ("pipeline/extract_fields.py", "", "", "fields"),
    ("pipeline/field_patterns.py", "", "", "fields"),
    ("pipeline/natural_language.py", "", "", "fields"),
    ("pipeline/content_scan.py", "", "", "scan for secrets"),
    ("pipeline/read_text.py", "", "", "reading: decoding"),
    ("pipeline/decode.py", "", "", "reading: decoding"),
    ("pipeline/extract.py", "", "", "reading: decoding"),
    ("pipeline/validate.py", "", "", "reading: decoding"),
    ("values/chunk.py", "text_sha256", "", "hashing"),
    ("", "", "hashlib.sha256(", "hashing"),
    ("workers/protocol.py", "", "", "between program and workers"),
    ("workers/worker.py", "", "", "between program and workers"),
    ("workers/child.py", "", "", "between program and workers"),
    ("workers/pool.py", "", "", "between program and workers"),
    ("catalog/versions.py", "_text_ids", "", "SQLite writes: texts"),
    ("catalog/versions.py", "stage_chunks", "_INSERT_SEARCH", "SQLite writes: full text"),
    ("catalog/versions.py", "retire_chunks", "", "SQLite writes: full text"),
    ("catalog/versions.py", "stage_chunks", "", "SQLite writes: chunks"),
    ("catalog/versions.py", "stage_fields", "", "SQLite writes: fields"),
    ("catalog/versions.py", "put_vectors", "", "SQLite writes: vectors"),
    ("catalog/versions.py", "texts_without_vector", "", "SQLite reads"),
    ("catalog/versions.py", "count_without_vector", "", "SQLite writes: documents, arrivals, events"),
    ("durable/journal.py", "", "", "SQLite writes: journal"),
    ("catalog/known.py", "", "", "comparing folders"),
    ("catalog/queries.py", "", "", "this measurement"),
    ("database/group.py", "commit", "COMMIT", "SQLite writes: commits, with the flush of the full text"),
    ("database/group.py", "", "", "SQLite writes: savepoints"),
    ("database/readers.py", "", "", "SQLite reads"),
    ("database/writer.py", "_bound_log", "", "SQLite writes: commits, with the flush of the full text"),
    ("intake/scan.py", "read_source_file", "", "reading: files"),
    ("intake/scan.py", "", "", "comparing folders"),
    ("intake/reconcile.py", "", "", "comparing folders"),
    ("intake/watch.py", "", "", "comparing folders"),
    ("forebay/effects.py", "read", "", "reading: files"),
    ("pipeline/embedders/mock.py", "", "", "trivial embedder"),
    ("catalog/", "", "", "SQLite writes: documents, arrivals, events"),
)
_OTHERWISE = "engine and event loop"


def part_of(frame: FrameType) -> str:
    """The part that the innermost frame with a rule belongs to."""
    walked: FrameType | None = frame
    found, otherwise = "", "thread pools and libraries"
    while walked is not None:
        path = walked.f_code.co_filename
        if path == "<frozen importlib._bootstrap>":
            return STARTING
        if "forebay/" in path or "asyncio/" in path:
            found = found or _part_of_one(path, walked.f_code.co_name, walked.f_lineno or 0)
            otherwise = _OTHERWISE
        walked = walked.f_back
    return found or otherwise


def _call_at(path: str, line_number: int) -> str:
    """The line where a call begins, and the next, which may hold its first argument."""
    return linecache.getline(path, line_number) + linecache.getline(path, line_number + 1)


def _part_of_one(path: str, function: str, line_number: int) -> str:
    for where, name, text, part in _RULES:
        is_file = path.endswith(where) if where.endswith(".py") else where in path
        if is_file and (not name or name == function) and (not text or text in _call_at(path, line_number)):
            return part
    return ""
