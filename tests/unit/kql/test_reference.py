"""What the reference says is what there is: nothing more, nothing less."""

from __future__ import annotations

import pytest

from forebay.telemetry.kql import functions, reference
from forebay.telemetry.kql.binding import binder, operators
from forebay.telemetry.kql.binding.expressions import SPECIAL
from forebay.telemetry.kql.binding.operators import evaluate
from forebay.telemetry.kql.binding.spread import SPREADS
from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.completion import vocabulary
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.syntax import nodes
from forebay.telemetry.kql.syntax.parser import OPERATOR_NAMES
from forebay.telemetry.kql.types import DUCKDB_TYPES, schema_of

SCHEMA = schema_of({"T": [("a", "long"), ("b", "dynamic")]})


def refused(text: str) -> list[str]:
    """The codes with which a query is refused."""
    try:
        compile_query(text, SCHEMA, explore=lambda relation: [])
    except KqlError as error:
        return [each.code for each in error.diagnostics]
    return []


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    functions.load()
    operators.load()
    compile_query("T | evaluate narrow()", SCHEMA)


def test_every_operator_and_source_that_can_be_bound_is_described() -> None:
    described = {each.node for each in reference.OPERATORS}
    assert described == set(binder.OPERATORS)
    sources = {each.node for each in reference.SOURCES}
    # to name another database, files, or a plugin without rows is refused in a way of its own
    assert sources == set(binder.SOURCES) - {nodes.Member, nodes.Index, nodes.ExternalData, nodes.EvaluateSource}


def test_every_name_of_an_operator_is_described_as_supported_or_refused() -> None:
    supported = {name for each in reference.OPERATORS for name in (each.name, *each.aliases)}
    assert not supported & set(reference.REFUSED_OPERATORS)
    assert supported | set(reference.REFUSED_OPERATORS) == {*OPERATOR_NAMES, "filter", "mvapply", "mvexpand"}
    assert set(vocabulary.OPERATORS) <= supported


def test_every_plugin_is_described() -> None:
    assert [each.name for each in reference.PLUGINS] == sorted(evaluate.PLUGINS)
    assert set(vocabulary.PLUGINS) == set(evaluate.PLUGINS)


def test_every_call_that_is_bound_in_a_way_of_its_own_is_described() -> None:
    assert {*reference.FUNCTIONS, *reference.FUNCTION_ALIASES} == set(SPECIAL) - set(registry.names())
    assert set(reference.FUNCTION_ALIASES.values()) <= set(reference.FUNCTIONS)
    assert set(reference.MORE) <= set(registry.names())
    assert set(reference.AGGREGATES) == set(SPREADS) - set(registry.names())


def test_every_operator_between_values_is_described() -> None:
    described = {name for names, _ in reference.VALUE_OPERATORS for name in names}
    declared = {name for name, found in registry.names().items() if found[0].kind == "operator"}
    assert described <= declared
    assert {*vocabulary.TEXT_OPERATORS, *vocabulary.LOGIC} <= described
    assert {name for name in declared if not name.replace("_", "").isalnum()} <= described


def test_every_type_is_described() -> None:
    assert list(reference.TYPES) == list(DUCKDB_TYPES)


def test_what_is_described_as_refused_is_refused() -> None:
    for name in reference.REFUSED_OPERATORS:
        assert refused(f"T | {name} a") == ["unsupported"], name
    for name in registry.REFUSED:
        assert refused(f"T | extend x = {name}(a)") == ["unsupported"], name
    for names in reference.REFUSED_PLUGINS:
        for name in names.split(", "):
            assert refused(f"T | evaluate {name}(a)") == ["unsupported"], name
    sources = ("app('x').T", "cluster('x').T", "database('x').T", "resource('x').T", "workspace('x').T", "externaldata (a: long) ['x']")
    statements = ("alias database x = y; T", ".show tables", "T; T")
    for text in (*sources, *statements):
        assert refused(text) == ["unsupported"], text


def test_functions_for_others_alone_are_not_described_and_all_others_have_a_summary() -> None:
    shown = [function for found in registry.names().values() for function in found if not registry.is_internal(function.name)]
    assert all(function.summary.endswith(".") for function in shown if function.kind != "operator")
    assert "element" not in {function.name for function in shown}
    assert {"strlen", "count", "row_number"} <= {function.name for function in shown}
