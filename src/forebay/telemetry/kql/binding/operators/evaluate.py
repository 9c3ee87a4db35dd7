"""`evaluate`: plugins, each a function of the rows that come. Those that are not here are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.binding.binder import Binder, binds, binds_source
from forebay.telemetry.kql.binding.environment import Environment
from forebay.telemetry.kql.binding.expressions import ExpressionBinder, error
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.types import KqlType

MODULES = (
    "unpacking",
    "pivoting",
    "intersections",
    "ip_lookups",
    "activities",
    "schemas",
    "near_rows",
)


class Plugin:
    """One use of a plugin: its rows, its arguments, and what binds them."""

    def __init__(self, binder: Binder, node: nodes.Evaluate, source: bound.Relation, environment: Environment) -> None:
        self.binder = binder
        self.node = node
        self.source = source
        self.environment = environment
        self.expressions = ExpressionBinder(binder, environment, source.columns)

    def arguments(self, *names: str, required: int) -> dict[str, nodes.Expression]:
        """The arguments by the plugin's names for them, given in this order or by name. Raises `KqlError`."""
        found: dict[str, nodes.Expression] = {}
        in_order = [each for each in names if not any(isinstance(a, nodes.Named) and a.names[0] == each for a in self.node.arguments)]
        for each in self.node.arguments:
            if isinstance(each, nodes.Named) and each.names[0] in names:
                found[each.names[0]] = each.expression
            elif in_order:
                found[in_order.pop(0)] = each
            else:
                raise self.error(f"takes at most {len(names)} arguments: {', '.join(names)}", each)
        missing = next((each for each in names[:required] if each not in found), None)
        if missing is not None:
            raise self.error(f"expected {missing}, got nothing")
        return found

    def column(self, node: nodes.Expression) -> bound.Column:
        """A column of the rows. Raises `KqlError`."""
        value = self.expressions.bind(node)
        if not isinstance(value, bound.ColumnRef):
            raise self.error("expected a column", node)
        return value.column

    def constant(self, node: nodes.Expression, kind: KqlType) -> Any:
        """The value of a constant of this type. Raises `KqlError`."""
        value = self.expressions.bind_as(node, kind, self.node.plugin)
        if not isinstance(value, bound.Constant):
            raise self.error("expected a constant", node)
        return value.value

    def explore(self, relation: bound.Relation) -> list[tuple[Any, ...]]:
        """The rows of a relation, read now. Raises `KqlError` where that is not possible."""
        if self.binder.explore is None:
            message = f"{self.node.plugin} without the columns that it makes is not supported here"
            hint = f"evaluate {self.node.plugin}(...) : (name: type, ...)"
            raise error(self.node, "unsupported", message, hint=hint, construct=f"evaluate {self.node.plugin}")
        self.binder.explored = True
        return self.binder.explore(relation)

    def error(self, message: str, node: nodes.Node | None = None) -> Exception:
        """What is wrong with an argument."""
        return error(node or self.node, "type", f"{self.node.plugin}: {message}")


PLUGINS: dict[str, Callable[[Plugin], bound.Relation]] = {}

_CALLS_OUT = "a query reaches no other service"
_MINES = "what it finds depends on choices that Kusto does not document; summarize by the columns in question"
_RUNS_CODE = "a query runs no code of its own"
_NOT_EXACT = "its answer cannot be made the same as Kusto's yet; scan, summarize and make-series say much of it"
# plugins of Kusto that are refused: why, and what to do instead
REFUSED: dict[str, str] = {
    **dict.fromkeys("autocluster basket diffpatterns diffpatterns_text reduce".split(), _MINES),
    **dict.fromkeys("python r csharp".split(), _RUNS_CODE),
    **dict.fromkeys(
        "ai_chat_completion ai_chat_completion_prompt ai_embed_text azure_digital_twins_query_request cosmosdb_sql_request http_request "
        "http_request_post infer_storage_schema infer_storage_schema_with_suggestions mysql_request postgresql_request sql_request".split(),
        _CALLS_OUT,
    ),
    **dict.fromkeys(
        "activity_engagement funnel_sequence funnel_sequence_completion new_activity_metrics sequence_detect session_count".split(),
        _NOT_EXACT,
    ),
    **dict.fromkeys("geo_line_lookup geo_polygon_lookup".split(), "join by geo_point_to_geohash(), then filter by distance"),
    "identity": "its answer is its input",
    "preview": "take shows rows, count their number",
}


def plugin(name: str) -> Callable[[Callable[[Plugin], bound.Relation]], Callable[[Plugin], bound.Relation]]:
    """Declare a plugin."""

    def declare(function: Callable[[Plugin], bound.Relation]) -> Callable[[Plugin], bound.Relation]:
        PLUGINS[name] = function
        return function

    return declare


@binds(nodes.Evaluate)
def _evaluate(binder: Binder, node: nodes.Evaluate, source: bound.Relation, environment: Environment) -> bound.Relation:
    if not PLUGINS:
        for module in MODULES:
            import_module(f"forebay.telemetry.kql.binding.plugins.{module}")
    found = PLUGINS.get(node.plugin)
    if found is None:
        hint = REFUSED.get(node.plugin, f"there are {', '.join(sorted(PLUGINS))}")
        message = f"the plugin {node.plugin} is not supported"
        raise error(node, "unsupported", message, hint=hint, construct=f"evaluate {node.plugin}")
    return found(Plugin(binder, node, source, environment))


@binds_source(nodes.EvaluateSource)
def _evaluate_source(binder: Binder, node: nodes.EvaluateSource, environment: Environment) -> bound.Relation:
    name = node.evaluate.plugin
    raise error(node, "unsupported", f"evaluate {name} without rows before it is not supported", construct=f"evaluate {name}")
