"""The catalog's tables for SQLAlchemy Core; `schema.sql` creates them, and a test compares the two."""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import BLOB, REAL, Column, Integer, MetaData, Table, Text

from forebay.database.migrations import Migration

metadata = MetaData()


def schema() -> list[Migration]:
    """The migrations of the catalog's tables."""
    return [files("forebay.catalog").joinpath("schema.sql").read_text()]


def _table(table_name: str, /, **columns: type[Integer | Text | BLOB | REAL[float]]) -> Table:
    return Table(table_name, metadata, *(Column(column, kind) for column, kind in columns.items()))


arrivals = _table(
    "arrivals",
    sequence=Integer,
    event_id=Text,
    kind=Text,
    document_id=Text,
    project=Text,
    source=Text,
    name=Text,
    place=Text,
    blob_name=Text,
    etag=Text,
    size_bytes=Integer,
    content_type=Text,
    target_name=Text,
    refusal=Text,
    actor=Text,
    correlation_id=Text,
    at=Integer,
    outcome=Text,
    reason=Text,
    settled_at=Integer,
)

documents = _table(
    "documents",
    id=Text,
    project=Text,
    source=Text,
    name=Text,
    status=Text,
    reason=Text,
    newest_arrival=Integer,
    current_version=Integer,
    version_count=Integer,
    content_type=Text,
    size_bytes=Integer,
    sha256=Text,
    language=Text,
    chunk_count=Integer,
    place=Text,
    blob_name=Text,
    etag=Text,
    instance_id=Text,
    correlation_id=Text,
    created_at=Integer,
    updated_at=Integer,
)

versions = _table(
    "versions",
    id=Integer,
    document_id=Text,
    project=Text,
    number=Integer,
    arrival_sequence=Integer,
    recipe=Text,
    sha256=Text,
    size_bytes=Integer,
    format=Text,
    content_type=Text,
    language=Text,
    encoding=Text,
    is_encoding_guessed=Integer,
    replaced_count=Integer,
    chunk_count=Integer,
    finding_count=Integer,
    valid_from=Integer,
    valid_to=Integer,
)

texts = _table("texts", id=Integer, project=Text, sha256=BLOB, text=Text)

chunks = _table(
    "chunks",
    id=Integer,
    version_id=Integer,
    ordinal=Integer,
    text_id=Integer,
    start=Integer,
    stop=Integer,
    first_line=Integer,
    last_line=Integer,
    symbol=Text,
    location=Text,
    in_search=Integer,
)

fields = _table("fields", version_id=Integer, ordinal=Integer, name=Text, value=Text, start=Integer, stop=Integer, confidence=REAL)

vectors = _table("vectors", text_id=Integer, model=Text, vector=BLOB)

models = _table("models", role=Text, id=Text, made_by=Text, is_complete=Integer, instance_id=Text)

events = _table(
    "events",
    sequence=Integer,
    document_id=Text,
    project=Text,
    type=Text,
    at=Integer,
    actor=Text,
    correlation_id=Text,
    arrival_sequence=Integer,
    data=Text,
)
