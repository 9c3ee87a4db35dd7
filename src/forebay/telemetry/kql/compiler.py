"""The whole way: from the text of a query to SQL."""

from __future__ import annotations

from msgspec import Struct

from forebay.telemetry.kql import sql
from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.binder import Explore
from forebay.telemetry.kql.binding.program import Query, bind
from forebay.telemetry.kql.errors import Diagnostic, KqlError
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
    try:
        query = bind(parse(text), schema, explore=explore)
    except RecursionError:
        raise _too_deep() from None
    return Compiled(query, generate(query))


def generate(query: Query) -> Statement:
    """The SQL of a bound query. Raises `KqlError` (`too_complex`)."""
    return generate_relation(query.relation)


def generate_relation(relation: bound.Relation) -> Statement:
    """The SQL of a relation, such as one that is read while the query is bound. Raises `KqlError` (`too_complex`)."""
    sql.load()
    try:
        return Generator(pruned(relation)).statement()
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> KqlError:
    hint = "fewer operators, one after the other, or one let upon the other"
    return KqlError(Diagnostic("too_complex", "the query is too complex: its operators depend on each other too deeply", 0, 0, hint=hint))
