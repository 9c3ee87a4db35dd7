from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay.cli import reference
from forebay.cli.reference_kql import probe_all
from forebay.cli.reference_language import language
from forebay.cli.reference_probes import SECTIONS
from forebay.cli.reference_store import temporary_tables
from forebay.telemetry.kql import reference as kql
from forebay.telemetry.query.translation import _CODES as CODES
from forebay.values.reasons import REASONS

ROOT = Path(__file__).parents[2]


def error_codes() -> Iterator[tuple[str, str]]:
    """Every literal code of a `ForebayError` in the sources, with its place."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ForebayError" and node.args:
                code = node.args[0]
                for choice in (code.body, code.orelse) if isinstance(code, ast.IfExp) else (code,):
                    if isinstance(choice, ast.Constant):
                        yield str(choice.value), f"{path.relative_to(ROOT)}:{node.lineno}"
    yield from ((code, "what the compiler finds") for code in CODES.values())


def test_every_error_code_is_explained():
    rows = re.findall(r"^\|((?: `[a-z0-9_]+`,?)+) \|", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"[a-z0-9_]+", row)}
    found = dict(error_codes())
    assert len(found) > 20
    assert {code: place for code, place in found.items() if code not in documented} == {}
    assert set(REASONS) <= documented


def test_the_generated_docs_are_fresh():
    assert reference.main(["--check", str(ROOT / "docs")]) == 0


def test_stale_docs_are_noticed_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "kql_page", lambda generated: f"# KQL\n{generated}\n")  # its queries were asked above
    (tmp_path / "troubleshooting.md").write_text("# Mine\n<!-- reasons -->\nan obsolete row\n<!-- /reasons -->\nend\n", encoding="utf-8")
    assert reference.main(["--check", str(tmp_path)]) == 1
    assert "configuration.md is stale" in capsys.readouterr().err
    assert reference.main([str(tmp_path)]) == 0
    assert reference.main(["--check", str(tmp_path)]) == 0
    text = (tmp_path / "troubleshooting.md").read_text(encoding="utf-8")
    assert text.startswith("# Mine\n")
    assert "`too_large`" in text
    assert "an obsolete row" not in text


def test_every_construct_of_the_query_language_has_an_example():
    queries = " ".join(probe.query for _, probes in SECTIONS for probe in probes)
    constructs = (*kql.STATEMENTS, *kql.SOURCES, *kql.OPERATORS, *kql.PLUGINS)
    names = [name for each in constructs for name in (each.name, *each.aliases) if not name.startswith("a ")]
    values = [name for names, _ in kql.VALUE_OPERATORS for name in names]
    missing = [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", queries)]
    assert missing == ["mvapply", "mvexpand", "filter"], "these are older names"
    assert [name for name in values if name.lstrip("!").removesuffix("_cs") not in queries] == []


async def test_no_example_is_answered_otherwise_than_by_kusto():
    found = [each for section in (await probe_all()).values() for each in section]
    assert [each for each in found if each.state == "differs"] == []
    assert {each.probe.name for each in found if each.state == "refused"} == {"find without project", "parse_version", "ingestion_time"}


def test_a_function_is_shown_once_with_all_its_names_and_ways_to_call_it():
    lines = list(language())
    (row,) = (line for line in lines if line.startswith("| `bag_pack`"))
    assert row.startswith("| `bag_pack`, `pack`, `pack_dictionary` | `bag_pack(")
    assert not any(line.startswith(("| `pack`", "| `_", "| `element`")) for line in lines)
    (row,) = (line for line in lines if line.startswith("| `abs` |"))
    assert row.count("<br>") == 1
    assert "abs(value: number)" in row
    (row,) = (line for line in lines if line.startswith("| `hll` |"))
    assert "**Approximate**: within 0.8 %" in row


@pytest.mark.parametrize("page", ["docs/operations.md", "docs/telemetry.md", "README.md"])
async def test_the_queries_of_the_docs_are_answered(page: str):
    queries = re.findall(r"^```kusto\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert queries
    async with temporary_tables() as (_, engine):
        for query in queries:
            assert (await engine.query(query, project="p")).columns, query
