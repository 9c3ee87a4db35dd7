"""Checks what SQL would do, by DuckDB's own parse of it: the second opinion on every translation.

Only what is listed here passes. The third line of defence is the connection: no external access, locked settings, a read-only
transaction, and no schema on the search path but the project's own views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from forebay.errors import ForebayError
from forebay.telemetry.kql.guard import too_complex

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SQL_LIMIT_CHARACTERS = 256 << 10
_DEPTH_LIMIT = 900  # of the parse, below Python's recursion limit; DuckDB itself stops expressions at 1,000

_TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
# what the translations of KQL use; none of these reads a file, a setting, the environment or a clock
_FUNCTIONS = frozenset(
    """
    abs acos add any_value approx_count_distinct arg_max arg_min array_concat array_extract array_length array_to_string asin atan atan2
    avg bit_count bool_and bool_or ceil chr coalesce concat concat_ws contains cos cot count count_star date_diff date_part date_trunc day
    dayofweek dayofyear decode degrees dense_rank encode ends_with epoch epoch_us error exp first flatten floor from_base64 from_json
    gamma generate_series greatest hour ilike_escape instr isfinite isinf isnan isodow json json_array json_array_length json_extract
    json_extract_string json_keys json_object json_type json_valid lag last lead least left len length like_escape list list_aggregate
    list_append list_avg list_bool_and list_bool_or list_concat list_contains list_distinct list_extract list_filter list_has_any list_max
    list_min list_position list_prepend list_reverse list_reverse_sort list_slice list_sort list_sum list_transform list_value list_zip ln
    log10 log2 lower lpad ltrim make_timestamp map map_entries map_from_entries map_keys map_values max md5 microsecond millisecond min
    minute month not_ilike_escape not_like_escape nullif ord pi position pow power quantile_cont quantile_disc quarter radians range rank
    regexp_escape regexp_extract regexp_extract_all regexp_matches regexp_replace repeat replace reverse right round row row_number rtrim
    second sha1 sha256 sign sin split_part sqrt starts_with stddev_pop stddev_samp str_split strftime string_agg strlen strpos strptime
    struct_extract struct_insert struct_pack substr substring sum tan time_bucket timezone to_base64 to_days to_hours to_json
    to_microseconds to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years trim trunc try_strptime
    typeof unicode unnest upper var_pop var_samp week weekofyear xor year
    """.split()
)

_TABLE_KINDS = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "COLUMN_DATA", "CTE"})
_NODE_KINDS = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_EXPRESSIONS = frozenset(
    "BETWEEN CASE CAST COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA LAMBDA_REF OPERATOR PARAMETER POSITIONAL_REFERENCE STAR"
    " SUBQUERY TYPE WINDOW".split()
)


def check_sql(sql: str, tables: frozenset[str], parser: DuckDBPyConnection) -> frozenset[str]:
    """Which of `tables` the statement reads. Nothing of it is executed.

    Raises `ForebayError`: `query_forbidden` when it is more than one `SELECT` over these tables with known functions, and
    `query_too_complex` when it cannot be parsed.
    """
    import duckdb

    try:
        found = parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    except duckdb.Error as error:
        raise _unreadable(str(error)) from error
    assert found is not None, "a scalar function answers once"
    try:
        told = msgspec.json.decode(found[0])
    except (msgspec.DecodeError, RecursionError) as error:
        raise too_complex("its SQL is nested too deeply") from error
    if told["error"]:
        raise _unreadable(str(told.get("error_message", "")))
    if len(told["statements"]) != 1:
        raise _forbidden("more than one statement")
    check = _Check(tables)
    check.visit(told["statements"][0]["node"], frozenset(), 0)
    return frozenset(check.read)


class _Check:
    def __init__(self, tables: frozenset[str]) -> None:
        self._tables = tables
        self.read: set[str] = set()

    def visit(self, node: Any, names: frozenset[str], depth: int) -> None:
        """Check a part of the parse, where `names` are the common table expressions in sight."""
        if depth > _DEPTH_LIMIT:
            raise too_complex("its SQL is nested too deeply")
        if isinstance(node, list):
            for each in node:
                self.visit(each, names, depth + 1)
        elif isinstance(node, dict):
            if "cte_map" in node:
                names = self._visit_ctes(node, names, depth)
            self._check_kind(node, names)
            for key, child in node.items():
                if key != "cte_map" and isinstance(child, (dict, list)):
                    # the function of a table function was checked with it: it may be one that is none for values
                    is_checked = key == "function" and node.get("type") == "TABLE_FUNCTION"
                    below: Any = child
                    self.visit(below["arguments"] if is_checked else below, names, depth + 1)

    def _visit_ctes(self, node: dict[str, Any], names: frozenset[str], depth: int) -> frozenset[str]:
        for each in node["cte_map"]["map"]:
            below = each["value"]["query_node"] if "query_node" in each["value"] else each["value"]["query"]["node"]
            inner = names | {each["key"]} if below["type"] == "RECURSIVE_CTE_NODE" else names
            self.visit(each["value"], inner, depth + 1)
            names |= {each["key"]}
        return names

    def _check_kind(self, node: dict[str, Any], names: frozenset[str]) -> None:
        kind = node.get("type")
        if "class" in node:
            if node["class"] not in _EXPRESSIONS:
                raise _forbidden(f"an expression of the kind {node['class']}")
            if node["class"] == "FUNCTION":
                _check_function(node, _FUNCTIONS)
        elif "cte_map" in node or "modifiers" in node:
            if kind not in _NODE_KINDS:
                raise _forbidden(f"a query of the kind {kind}")
        elif "alias" in node and "sample" in node:
            self._check_table(node, names)

    def _check_table(self, node: dict[str, Any], names: frozenset[str]) -> None:
        kind = node["type"]
        if kind == "SHOW_REF" and node["show_type"] == "DESCRIBE" and node["table_name"] == "" and node["query"] is not None:
            return  # what getschema asks of a query, which is checked in turn
        if kind not in _TABLE_KINDS:
            raise _forbidden(f"a table of the kind {kind}")
        if kind == "TABLE_FUNCTION":
            if node["function"]["class"] != "FUNCTION":
                raise _forbidden("a table function that is none")
            _check_function(node["function"], _TABLE_FUNCTIONS)
        if kind != "BASE_TABLE":
            return
        path = [part for part in (node["catalog_name"], node["schema_name"]) if part]
        if path or node["qualified_name"]["path"] != [node["table_name"]] or node.get("at_clause") is not None:
            raise _forbidden("a qualified table")
        if node["table_name"] in names:
            return
        if node["table_name"] not in self._tables:
            raise _forbidden("a table that is not the project's")
        self.read.add(node["table_name"])


def _check_function(node: dict[str, Any], allowed: frozenset[str]) -> None:
    name = str(node["function_name"])
    is_operator = not any(character.isalnum() or character == "_" for character in name)
    if node["schema"] not in ("", "main") or node["catalog"] not in ("", "system") or not (is_operator or name.lower() in allowed):
        raise _forbidden(f"the function {name[:60]}")


def _forbidden(what: str) -> ForebayError:
    return ForebayError(
        "query_forbidden",
        f"a query may not use {what}",
        hint="a query reads the tables of its own project, and computes with their values",
        status=403,
    )


def _unreadable(message: str) -> ForebayError:
    if "depth" in message or "ecursion" in message:
        return too_complex("its SQL is nested too deeply")
    return ForebayError(
        "query_unsupported", f"the query's translation is not valid SQL: {message.splitlines()[0][:300] if message else ''}"
    )
