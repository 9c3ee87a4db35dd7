"""The embeddings request and answer of the OpenAI API, which many servers speak.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

NOTHING = "."  # stands for a text without a visible character, which servers refuse

_SURROGATES = re.compile("[\ud800-\udfff]")
_SHORTEST_LENGTH = 1e-12  # of a vector: what is shorter has no direction


class InvalidAnswer(Exception):
    """An answer that must not be stored; the message says what was expected and what came."""

    def __init__(self, message: str, *, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.is_lasting = is_lasting  # asking again gives the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """A checked answer."""

    matrix: NDArray[np.float32]  # row i belongs to input i, of unit length
    token_count: int  # as the server counted; 0 when it did not


class _Item(msgspec.Struct):
    index: int
    embedding: str | list[float]  # base64 of little-endian float32, or numbers


class _Answer(msgspec.Struct):
    data: list[_Item]
    usage: Any = None


_DECODER = msgspec.json.Decoder(_Answer)


def sendable(text: str) -> str:
    """The text as it can travel: valid Unicode, and not empty."""
    return _SURROGATES.sub("\ufffd", text) if text.strip() else NOTHING


def encode_request(texts: Sequence[str], *, model: str, encoding: Literal["base64", "float"], dimensions: int | None) -> bytes:
    """The body of a request; `dimensions` is asked for unless None."""
    body: dict[str, object] = {"model": model, "input": list(texts), "encoding_format": encoding}
    if dimensions is not None:
        body["dimensions"] = dimensions
    return msgspec.json.encode(body)


def decode_answer(body: bytes, *, count: int, dimensions: int) -> Vectors:
    """The vectors of an answer to `count` texts.

    Raises `InvalidAnswer` unless every text has exactly one vector of `dimensions` finite numbers that are not all zero.
    """
    try:
        answer = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidAnswer(f"expected an embeddings answer, got something else: {error}") from None
    if len(answer.data) != count:
        raise InvalidAnswer(f"expected {count} vectors, got {len(answer.data)}")
    items = sorted(answer.data, key=lambda item: item.index)
    if [item.index for item in items] != list(range(count)):
        raise InvalidAnswer(f"expected each index from 0 to {count - 1} once, got {[item.index for item in items][:20]}")
    rows = [_row(item) for item in items]
    lengths = {len(row) for row in rows}
    if lengths != {dimensions}:
        raise InvalidAnswer(f"expected vectors of {dimensions} dimensions, got {', '.join(map(str, sorted(lengths)))}", is_lasting=True)
    matrix = np.stack(rows)
    if not np.isfinite(matrix).all():
        raise InvalidAnswer("expected finite numbers, got a vector with NaN or infinity")
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    if norms.min() < _SHORTEST_LENGTH:
        raise InvalidAnswer("expected vectors with a direction, got one of zeros")
    return Vectors(matrix=(matrix / norms).astype(np.float32), token_count=_token_count(answer.usage))


def error_of(body: bytes) -> tuple[str, str]:
    """(code, message) of an error answer, in the shapes that servers use; what is missing is empty."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "", ""  # a page of some proxy
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if not isinstance(error, dict):
        return "", error if isinstance(error, str) else ""
    code = error.get("code") or error.get("type")
    message = error.get("message") or error.get("detail") or error.get("error")
    return code if isinstance(code, str) else "", message if isinstance(message, str) else ""


def _row(item: _Item) -> NDArray[np.float64]:
    if not isinstance(item.embedding, str):
        return np.array(item.embedding, np.float64)
    try:
        return np.frombuffer(base64.b64decode(item.embedding, validate=True), "<f4").astype(np.float64)
    except (binascii.Error, ValueError):
        raise InvalidAnswer("expected base64 of 32-bit numbers, got something else") from None


def _token_count(usage: object) -> int:
    counted = usage.get("total_tokens") if isinstance(usage, dict) else None
    return max(0, counted) if isinstance(counted, int) else 0
