"""`ipv4_lookup` and `ipv6_lookup`: the networks of a table that addresses are in.

An address is looked for as many times as there are lengths of prefixes in the table, each time as the network that it is in: an equality,
which costs no more for large tables.

Source: https://learn.microsoft.com/kusto/query/ipv4-lookup-plugin
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from forebay.telemetry.kql.binding import bound, calls, naming
from forebay.telemetry.kql.binding.operators.evaluate import Plugin, plugin
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes


class _Lookup(Struct, frozen=True):
    """The networks, and the columns that tell their addresses and the lengths of their prefixes."""

    relation: bound.Relation
    network: bound.Column
    length: bound.Column
    extra_keys: tuple[bound.Column, ...]
    columns: tuple[bound.Column, ...]


@plugin("ipv4_lookup")
def _ipv4_lookup(use: Plugin) -> bound.Relation:
    return _looked_up(use, 32, is_source_first=True)


@plugin("ipv6_lookup")
def _ipv6_lookup(use: Plugin) -> bound.Relation:
    return _looked_up(use, 128, is_source_first=False)


def _looked_up(use: Plugin, bits: int, *, is_source_first: bool) -> bound.Relation:
    named = [each for each in use.node.arguments if isinstance(each, nodes.Named)]
    given = [each for each in use.node.arguments if not isinstance(each, nodes.Named)]
    if len(given) < 3 or any(each.names[0] != "return_unmatched" for each in named):
        raise use.error("expected a table, a column of addresses, a column of networks, columns that are equal, and return_unmatched")
    keeps_unmatched = use.constant(named[0].expression, "bool") if named else False
    extra = given[3:]
    if extra and not named and not isinstance(extra[-1], nodes.Name):
        keeps_unmatched = use.constant(extra.pop(), "bool")
    keys = [use.column(each) for each in (given[1], *extra)]
    lookup = _lookup(use, given[0], given[2], extra, bits)
    # numbered once: rows that are read twice may come in another order
    source = use.binder.share(use.node.plugin, _numbered(use), is_materialized=keeps_unmatched)
    rows = use.binder.read(source, use.node)
    found = _matched(use, rows, [rows.columns[use.source.columns.index(key)] for key in keys], lookup, bits)
    of_source = rows.columns[:-1]
    if keeps_unmatched:
        again = use.binder.read(source, use.node)
        on = (bound.ColumnRef("long", again.columns[-1]), bound.ColumnRef("long", rows.columns[-1]))
        columns = (*again.columns, *found.columns)
        found = bound.Join(columns, again, found, "leftouter", (on,), columns)
        of_source = again.columns[:-1]
    sides = (of_source, lookup.columns) if is_source_first else (lookup.columns, of_source)
    taken: set[str] = set()
    outputs: list[tuple[str, bound.Expr]] = []
    for column in (*sides[0], *sides[1]):
        if column in lookup.extra_keys:
            continue
        name = naming.unique(column.name, taken)
        taken.add(name)
        outputs.append((name, bound.ColumnRef(column.type, column)))
    return use.binder.compute(found, outputs)


def _numbered(use: Plugin) -> bound.Relation:
    """The rows of the source, with a number for each."""
    (row_number,) = registry.find("row_number")
    number = bound.WindowCall("long", row_number, (bound.Constant("long", 1), None))
    columns = (*use.source.columns, use.binder.column("row", "long"))
    return bound.Compute(columns, use.source, (*_refs(use.source.columns), number))


def _lookup(use: Plugin, table: nodes.Expression, key: nodes.Expression, extra: Sequence[nodes.Expression], bits: int) -> _Lookup:
    relation = use.binder.relation(table, use.environment)
    by_name = {column.name: column for column in relation.columns}
    names = [each.name if isinstance(each, nodes.Name) else "" for each in (key, *extra)]
    for name, each in zip(names, (key, *extra), strict=True):
        if name not in by_name:
            raise use.error("expected a column of the table with the networks", each)
    text = calls.convert(bound.ColumnRef(by_name[names[0]].type, by_name[names[0]]), "string")
    if bits == 32:
        parts = (_call("parse_ipv4", text), _call("ipv4_netmask_suffix", text))
    else:
        parts = (_call("parse_ipv6_mask", text, bound.Constant("long", bits)), _ipv6_prefix(text))
    network, length = (use.binder.column(name, part.type) for name, part in zip(("network", "length"), parts, strict=True))
    made = bound.Compute((*relation.columns, network, length), relation, (*_refs(relation.columns), *parts))
    return _Lookup(made, network, length, tuple(by_name[name] for name in names[1:]), relation.columns)


def _ipv6_prefix(text: bound.Expr) -> bound.Expr:
    """The length of a prefix as one of IPv6: an address of IPv4 is the end of one."""
    suffix = _call("tolong", _call("extract", bound.Constant("string", "/(\\d+)$"), bound.Constant("long", 1), text))
    is_ipv6 = _call("contains", text, bound.Constant("string", ":"))
    given = _call("iff", is_ipv6, suffix, _call("+", suffix, bound.Constant("long", 96)))
    return _call("coalesce", given, bound.Constant("long", 128))


def _matched(use: Plugin, rows: bound.Relation, keys: Sequence[bound.Column], lookup: _Lookup, bits: int) -> bound.Relation:
    """Each row with each network that its address, the first of the keys, is in."""
    element = use.binder.column("length", "dynamic")
    lengths = bound.Constant("dynamic", list(range(bits + 1)))
    expanded = bound.Expand((*rows.columns, element), rows, (lengths,), (element,), is_array=False)
    length = use.binder.column("length", lookup.length.type)
    network = use.binder.column("network", lookup.network.type)
    typed: bound.Relation = bound.Compute(
        (*rows.columns, length), expanded, (*_refs(rows.columns), calls.convert(bound.ColumnRef("dynamic", element), length.type))
    )
    known = use.binder.column("length", length.type)
    lengths_of_table = bound.Summarize((known,), lookup.relation, (bound.ColumnRef(length.type, lookup.length),), ())
    is_known = bound.InQuery("bool", bound.ColumnRef(length.type, length), lengths_of_table, is_caseless=False, is_negated=False)
    typed = bound.Filter(typed.columns, typed, is_known)
    key = bound.ColumnRef(keys[0].type, keys[0])
    mask = _call(f"parse_ipv{4 if bits == 32 else 6}_mask", calls.convert(key, "string"), bound.ColumnRef(length.type, length))
    masked = bound.Compute((*typed.columns, network), typed, (*_refs(typed.columns), mask))
    pairs = [(network, lookup.network), (length, lookup.length), *zip(keys[1:], lookup.extra_keys, strict=True)]
    on = tuple((bound.ColumnRef(left.type, left), bound.ColumnRef(right.type, right)) for left, right in pairs)
    columns = (*rows.columns, *lookup.columns)
    return bound.Join(columns, masked, lookup.relation, "inner", on, columns)


def _call(name: str, *arguments: bound.Expr) -> bound.Expr:
    return calls.call(name, arguments, 0, 0)


def _refs(columns: Sequence[bound.Column]) -> list[bound.Expr]:
    return [bound.ColumnRef(column.type, column) for column in columns]
