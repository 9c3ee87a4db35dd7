"""How a query is understood, for who wants to know: the bound tree, and the SQL."""

from __future__ import annotations

from dataclasses import dataclass

from forebay.telemetry.kql.binding.growth import check_growth
from forebay.telemetry.kql.binding.program import bind
from forebay.telemetry.kql.compiler import generate
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.outline import outline
from forebay.telemetry.kql.sql.prune import pruned
from forebay.telemetry.kql.syntax.parser import parse
from forebay.telemetry.kql.types import KqlType, Schema
from forebay.telemetry.query.translation import refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A query that is not run."""

    tree: str  # the bound tree, a line for each relation
    sql: str
    columns: tuple[tuple[str, KqlType], ...]


def explain(text: str, schema: Schema) -> Explanation:
    """How a query is understood.

    Raises `ForebayError` as `translation.translate` does, and where columns depend on data and the query does not name them
    (`query_unsupported`), for nothing is read.
    """
    try:
        query = bind(parse(text), schema)
        check_growth(query.relation)
        statement = generate(query)
    except KqlError as error:
        raise refusal(error, text) from error
    columns = tuple((column.name, column.type) for column in query.relation.columns)
    return Explanation(tree=outline(pruned(query.relation)), sql=statement.sql, columns=columns)
