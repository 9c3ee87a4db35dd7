"""The whole way: from the text of a query to SQL."""

from __future__ import annotations

from msgspec import Struct

from forebay.telemetry.kql import sql
from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.binder import Explore
from forebay.telemetry.kql.binding.program import Query, bind
from forebay.telemetry.kql.sql.generator import Generator, Statement
from forebay.telemetry.kql.sql.prune import pruned
from forebay.telemetry.kql.syntax.parser import parse
from forebay.telemetry.kql.types import Schema


class Compiled(Struct, frozen=True):
    """A query as SQL, and as it was understood."""

    query: Query
    statement: Statement


def compile_query(text: str, schema: Schema, *, explore: Explore | None = None) -> Compiled:
    """Compile a query over the tables of `schema`.

    `explore` answers the rows of a relation for operators whose columns depend on data; without it they are refused. Raises `KqlError`.
    """
    query = bind(parse(text), schema, explore=explore)
    return Compiled(query, generate(query))


def generate(query: Query) -> Statement:
    """The SQL of a bound query. Raises `KqlError` (`too_complex`)."""
    sql.load()
    return Generator().statement(pruned(query.relation))


def generate_relation(relation: bound.Relation) -> Statement:
    """The SQL of a relation that is read while the query is bound."""
    sql.load()
    return Generator().statement(pruned(relation))
