"""Questions that a set of documents can answer, made from the documents themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?\n]{20,160}[.!?](?=\s|$)")


def questions_from(chunks: Iterable[dict[str, Any]], *, count: int = 3) -> list[str]:
    """At most `count` different questions: headings first, then symbols of code, then sentences, as the API gives chunks."""
    headings: list[str] = []
    symbols: list[str] = []
    sentences: list[str] = []
    for chunk in chunks:
        text = str(chunk["text"])
        headings += [title for title in _HEADING.findall(text) if len(title.split()) > 1]
        if chunk.get("symbol"):
            symbols.append(_words_of(str(chunk["symbol"])))
        sentences += [found.strip() for found in _SENTENCE.findall(text)[:1]]
    chosen: list[str] = []
    for candidate in (*headings, *(symbol for symbol in symbols if " " in symbol), *sentences, *symbols):
        question = re.sub(r"[`*_\s]+", " ", candidate).strip()[:120]
        if question and question.lower() not in (each.lower() for each in chosen):
            chosen.append(question)
        if len(chosen) == count:
            break
    return chosen


def _words_of(symbol: str) -> str:
    """`HttpServer.read_body` as `http server read body`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[._]+", " ", symbol).strip().lower()
