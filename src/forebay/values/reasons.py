"""Why a file was skipped or failed: a closed list, explained in docs/troubleshooting.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One way in which a file does not become searchable."""

    code: str
    outcome: Literal["skipped", "failed"]
    meaning: str
    remedy: str


def _skip(code: str, meaning: str, remedy: str) -> Reason:
    return Reason(code=code, outcome="skipped", meaning=meaning, remedy=remedy)


def _fail(code: str, meaning: str, remedy: str) -> Reason:
    return Reason(code=code, outcome="failed", meaning=meaning, remedy=remedy)


REASONS: dict[str, Reason] = {
    reason.code: reason
    for reason in (
        _skip(
            "too_large",
            "The file is larger than the limit.",
            "Raise `FOREBAY_MAX_BLOB_MB` (or `MAX_BLOB_MB`), or split the file.",
        ),
        _skip(
            "unsupported_type",
            "Neither the suffix nor the declared content type is one that can be read.",
            "Upload it with a `text/...` content type, rename it, or set `FOREBAY_ACCEPT_UNKNOWN_TEXT=1` for text with unknown suffixes.",
        ),
        _skip(
            "content_mismatch",
            "The content is not what the suffix or the declared type says, for example a zip archive named `.txt`.",
            "Give the file the suffix that fits its content.",
        ),
        _skip("empty", "The file has no bytes, or no text in it.", "Nothing to do; an edit that adds text is noticed."),
        _skip(
            "undecodable",
            "No text encoding fits the bytes.",
            "Save the file as UTF-8.",
        ),
        _skip("encrypted", "The file is encrypted or asks for a password.", "Save it without a password."),
        _skip(
            "archive_bomb",
            "The file inflates to far more than its size.",
            "Check where it comes from; extract the parts that you need and ingest those.",
        ),
        _skip("unreadable", "The program has no permission to read the file.", "Grant read permission; the next scan takes it up."),
        _skip("outside_source", "A symbolic link leads out of the watched folder.", "Watch the folder that it leads to, or copy the file."),
        _skip("name_too_long", "The file's name is longer than a blob's name may be (1,024 bytes).", "Rename the file, or move it up."),
        _skip("name_not_utf8", "The file's name is not valid UTF-8, so that nothing could cite it.", "Rename the file."),
        _skip("not_a_file", "The name belongs to a socket, a pipe or a device.", "Nothing to do; only regular files are read."),
        _skip(
            "corrupt", "The file is damaged: its format could not be parsed.", "Open it with the program that wrote it and save it again."
        ),
        _skip(
            "secret_found",
            "The content scan found something like a key or a password, and `FOREBAY_SCAN_ACTION` is `skip`.",
            "Take the secret out of the file and revoke it; or set `FOREBAY_SCAN_ACTION=warn`.",
        ),
        _fail(
            "secret_forbidden",
            "The content scan found something like a key or a password, and `FOREBAY_SCAN_ACTION` is `fail`.",
            "Take the secret out of the file and revoke it; or set `FOREBAY_SCAN_ACTION=warn`.",
        ),
        _fail(
            "parser_crashed",
            "The parser process died on this file.",
            "The file may be hostile or hit a parser's bug; convert it to another format.",
        ),
        _fail("parser_timeout", "The parser ran longer than its time limit.", "Raise `FOREBAY_PARSE_TIMEOUT_SECONDS`, or split the file."),
        _fail("parser_memory", "The parser needed more memory than its limit.", "Raise `FOREBAY_PARSE_MEMORY_MB`, or split the file."),
        _fail("embedding_failed", "The embedder failed on every try.", "See the message; `forebay doctor` tests the embedder."),
        _fail("vanished", "The file was gone before it could be read.", "Put it back; it is then a new arrival."),
        _fail(
            "storage_failed",
            "Reading or moving the file failed on every try.",
            "See the message; check the disk. A file of a watched folder is taken up again when it can be read.",
        ),
        _fail("internal", "An unexpected error in the program.", "See the message and report it."),
    )
}
