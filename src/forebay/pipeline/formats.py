"""The formats that can be read. One line each: how a file is recognised, read and chunked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Reader = Literal["text", "kreuzberg"]
SplitBy = Literal["python", "javascript", "markdown", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What is known of a kind of file before one is opened."""

    name: str
    suffixes: tuple[str, ...]  # lower case, with the dot
    content_types: tuple[str, ...] = ()
    reader: Reader = "text"  # who turns the bytes into text
    is_binary: bool = False  # the bytes themselves are not text
    chunker: SplitBy = "text"
    language: str | None = None
    file_names: tuple[str, ...] = ()  # lower case; names that projects have without a suffix


PLAIN_TEXT = Format(
    name="text",
    suffixes=(".txt", ".text", ".log", ".rst", ".adoc", ".cfg", ".conf", ".ini", ".properties", ".toml", ".yaml", ".yml"),
    content_types=("text/plain",),
    file_names=(
        *("authors", "changelog", "changes", "codeowners", "contributing", "contributors", "copying", "copyright", "dockerfile"),
        *("gemfile", "install", "jenkinsfile", "license", "licence", "maintainers", "makefile", "news", "notice", "procfile", "readme"),
        *("todo", "vagrantfile", "version"),
    ),
)
# Accepted on trust (`FOREBAY_ACCEPT_UNKNOWN_TEXT`): content that turns out not to be text is an unsupported type.
UNKNOWN_TEXT = Format(name="unknown_text", suffixes=())

FORMATS: tuple[Format, ...] = (
    PLAIN_TEXT,
    Format(name="markdown", suffixes=(".md", ".markdown"), content_types=("text/markdown", "text/x-markdown"), chunker="markdown"),
    Format(name="python", suffixes=(".py", ".pyi"), content_types=("text/x-python",), chunker="python", language="python"),
    Format(
        name="javascript",
        suffixes=(".js", ".mjs", ".cjs", ".jsx"),
        content_types=("text/javascript",),
        chunker="javascript",
        language="javascript",
    ),
    Format(name="json", suffixes=(".json", ".jsonl"), content_types=("text/json",)),
    Format(name="csv", suffixes=(".csv", ".tsv"), content_types=("text/csv", "text/tab-separated-values")),
    Format(name="html", suffixes=(".html", ".htm"), content_types=("text/html",), reader="kreuzberg", chunker="markdown"),
    Format(name="pdf", suffixes=(".pdf",), content_types=("application/pdf",), reader="kreuzberg", is_binary=True),
    Format(
        name="docx",
        suffixes=(".docx",),
        content_types=("application/vnd.openxmlformats-officedocument.wordprocessingml.document",),
        reader="kreuzberg",
        is_binary=True,
        chunker="markdown",
    ),
)

_BY_SUFFIX = {suffix: format for format in FORMATS for suffix in format.suffixes}
_BY_FILE_NAME = {name: format for format in FORMATS for name in format.file_names}
_BY_CONTENT_TYPE = {content_type: format for format in FORMATS for content_type in format.content_types}


def format_of_name(name: str) -> Format | None:
    """The format that a file's name announces, case ignored; None when it announces none that can be read."""
    path = PurePosixPath(name.lower())
    return _BY_SUFFIX.get(path.suffix) or _BY_FILE_NAME.get(path.name)


def format_of_text_type(content_type: str) -> Format | None:
    """The format of a declared `text/...` type, plain text when the subtype is not known; None for any other type."""
    if not content_type.startswith("text/"):
        return None
    return _BY_CONTENT_TYPE.get(content_type, PLAIN_TEXT)
