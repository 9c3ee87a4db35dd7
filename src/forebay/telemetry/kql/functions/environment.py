"""What queries ask about where they run, and about what only a cluster of Kusto has: refused by name, but for sizes."""

from __future__ import annotations

from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import REFUSED, scalar
from forebay.telemetry.kql.functions.text_values import text_of

_SIZES = {"bool": 1, "int": 4, "long": 8, "real": 8, "datetime": 8, "timespan": 8, "decimal": 16, "guid": 16}


def _estimate_data_size(*columns: Argument) -> str:
    fixed = sum(_SIZES.get(column.type, 0) for column in columns)
    texts = [f"strlen({text_of(column)})" for column in columns if column.type not in _SIZES]
    return " + ".join([*texts, str(fixed)] if fixed or not texts else texts)


scalar(
    "estimate_data_size(columns: any...) -> long",
    _estimate_data_size,
    "The estimated size in bytes of values.",
    nulls="never",
    approximate="an estimate, as Kusto's: of dynamic values it is the length of their JSON",
)

_ONE_STORE = "there is one database here, and no cluster"
_NO_PRINCIPAL = "a query does not know who asks it"
_NO_EXTENTS = "data is not kept in extents here"
_NO_GRAPHS = "graphs are not supported; join a table of edges with itself"
_NO_OTHER_STORES = "a query reads the tables that it sees: name the table alone"
_NOT_DOCUMENTED = "Kusto does not say what it answers"
_NO_CURSORS = "there are no database cursors here; filter by timestamp"
REFUSED.update(
    {
        **dict.fromkeys("all map inner_nodes node_id node_degree_in node_degree_out labels graph".split(), _NO_GRAPHS),
        **dict.fromkeys("cluster database external_table materialized_view entity_group stored_query_result".split(), _NO_OTHER_STORES),
        **dict.fromkeys("hash_crc32 hash_djb2 hash_many_crc32 hll_normalize lz4_compress_dynamic_array".split(), _NOT_DOCUMENTED),
        "current_cluster_endpoint": _ONE_STORE,
        "current_database": _ONE_STORE,
        "current_node_id": _ONE_STORE,
        "current_principal": _NO_PRINCIPAL,
        "current_principal_details": _NO_PRINCIPAL,
        "current_principal_is_member_of": _NO_PRINCIPAL,
        "cursor_after": _NO_CURSORS,
        "cursor_before_or_at": _NO_CURSORS,
        "cursor_current": _NO_CURSORS,
        "current_cursor": _NO_CURSORS,
        "extent_id": _NO_EXTENTS,
        "extentid": _NO_EXTENTS,
        "extent_tags": _NO_EXTENTS,
        "row_id": _NO_EXTENTS,
        "ingestion_time": "when a row came in is not a column here; use timestamp",
        "weekofyear": "it counts weeks from the first Wednesday of a year and is obsolete; use week_of_year(), which follows ISO 8601",
    }
)
