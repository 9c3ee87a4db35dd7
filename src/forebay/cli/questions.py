"""Questions that a set of documents can answer, made from the documents themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SENTENCE = re.compile(r"[^\W\d_][^.!?\n]{20,160}[.!?](?=\s|$)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def questions_from(documents: Iterable[tuple[str, Sequence[dict[str, Any]]]], *, count: int = 3) -> list[str]:
    """At most `count` different questions, each from another document, which is its name and its chunks as the API gives them.

    A question is a heading of a Markdown file, else the name of a function or class in words, else a sentence.
    """
    chosen: list[str] = []
    for name, chunks in documents:
        question = next((each for each in _candidates(name, chunks) if each.lower() not in (other.lower() for other in chosen)), None)
        if question:
            chosen.append(question)
        if len(chosen) == count:
            break
    return chosen


def _candidates(name: str, chunks: Sequence[dict[str, Any]]) -> Iterable[str]:
    for chunk in chunks if name.lower().endswith((".md", ".markdown")) else ():
        for heading in _HEADING.findall(str(chunk["text"])):
            title = re.sub(r"[`*_\s]+", " ", heading).strip()[:120]
            if " " in title:
                yield title
    for chunk in chunks:
        symbol = _in_words(str(chunk.get("symbol") or ""))
        if " " in symbol:
            yield symbol
    for chunk in chunks:
        for sentence in _SENTENCE.findall(str(chunk["text"]))[:1]:
            yield " ".join(sentence.split())


def _in_words(symbol: str) -> str:
    """`HttpServer.read_body` as `read body`, `HttpServer.close` as `http server close`."""
    parts = symbol.split(".")
    words = _WORD.findall(parts[-1])
    if len(words) < 2:
        words = [word for part in parts[-2:] for word in _WORD.findall(part)]
    return " ".join(words).lower()
