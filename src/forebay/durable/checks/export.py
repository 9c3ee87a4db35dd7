"""Instances with their histories as JSON lines, to be replayed elsewhere.

The first line is `{"format": "forebay-instances", "version": 1}`; every other one is an `ExportedInstance`. Times are microseconds since
the epoch; inputs, outputs and payloads are the JSON that the journal has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, TypeVar

import msgspec

from forebay.durable.journal.journal import Fact, FactKind, History, InstanceRow, RuntimeStatus
from forebay.errors import ForebayError

Line = TypeVar("Line")

FORMAT = "forebay-instances"
VERSION = 1

_NONE = msgspec.Raw()  # of an instance that has not ended; left out


class Header(msgspec.Struct, frozen=True):
    """The first line."""

    format: str
    version: int


class ExportedFact(msgspec.Struct, frozen=True):
    """One row of a history, in its order."""

    kind: FactKind
    task_id: int
    name: str
    input_hash: str
    attempt: int
    scheduled_at: int
    at: int
    payload: msgspec.Raw


class ExportedInstance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instance."""

    id: str
    name: str
    status: RuntimeStatus
    created_at: int
    updated_at: int
    input: msgspec.Raw
    history: list[ExportedFact]
    output: msgspec.Raw = _NONE
    version: str | None = None
    incarnation: int = 0
    parent_id: str | None = None
    correlation_id: str | None = None
    project: str | None = None


def write_export(instances: Iterable[tuple[InstanceRow, History]], file: IO[bytes]) -> int:
    """Write instances, and return how many they were."""
    file.write(msgspec.json.encode(Header(FORMAT, VERSION)) + b"\n")
    count = 0
    for row, history in instances:
        file.write(msgspec.json.encode(_exported(row, history)) + b"\n")
        count += 1
    return count


def read_export(file: IO[bytes]) -> Iterator[tuple[InstanceRow, History]]:
    """The instances of an export. Raises `ForebayError` (`invalid_export`) naming the line."""
    header = _decoded(file.readline(), Header, 1)
    if (header.format, header.version) != (FORMAT, VERSION):
        raise ForebayError(
            "invalid_export",
            f"expected an export of format {FORMAT!r}, version {VERSION}, got {header.format!r}, version {header.version}",
            hint="Make it with `forebay check export-replay FILE` of this version.",
            status=422,
        )
    for number, line in enumerate(file, 2):
        if line.strip():
            yield _row(_decoded(line, ExportedInstance, number), number)


def is_export(beginning: bytes) -> bool:
    """Whether a file that begins so is an export."""
    return beginning.lstrip().startswith(b"{")


def _exported(row: InstanceRow, history: History) -> ExportedInstance:
    return ExportedInstance(
        id=row.id,
        name=row.name,
        status=row.status,
        created_at=row.created_at,
        updated_at=row.updated_at,
        input=_raw(row.input_json),
        output=_NONE if row.output_json is None else _raw(row.output_json),
        version=row.version,
        incarnation=row.incarnation,
        parent_id=row.parent_id,
        correlation_id=row.correlation_id,
        project=row.project,
        history=[
            ExportedFact(
                kind=fact.kind,
                task_id=fact.task_id,
                name=fact.name,
                input_hash=fact.input_hash,
                attempt=fact.attempt,
                scheduled_at=fact.scheduled_at,
                at=fact.at,
                payload=_raw(fact.payload),
            )
            for _, fact in history
        ],
    )


def _row(found: ExportedInstance, key: int) -> tuple[InstanceRow, History]:
    row = InstanceRow(
        key=key,
        id=found.id,
        name=found.name,
        status=found.status,
        input_json=_text(found.input),
        output_json=_text(found.output) or None,
        created_at=found.created_at,
        updated_at=found.updated_at,
        lane="",
        correlation_id=found.correlation_id,
        project=found.project,
        version=found.version,
        incarnation=found.incarnation,
        parent_id=found.parent_id,
    )
    facts = [
        Fact(each.kind, each.task_id, each.name, each.input_hash, each.attempt, each.scheduled_at, each.at, _text(each.payload))
        for each in found.history
    ]
    return row, list(enumerate(facts))


def _decoded(line: bytes, kind: type[Line], number: int) -> Line:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ForebayError(
            "invalid_export",
            f"line {number} is not one of an export of instances: {error}",
            hint="Make it with `forebay check export-replay FILE`.",
            status=422,
        ) from None


def _raw(json: str) -> msgspec.Raw:
    return msgspec.Raw(json.encode())


def _text(json: msgspec.Raw) -> str:
    return bytes(json).decode()
