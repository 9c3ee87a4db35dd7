"""Fields and the content scan through the whole program."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.http_api import Api, http_api

from forebay.catalog.history import check_history
from forebay.pipeline.verify import check_index

NOTES = "# Level\n\nThe level of the lake was read on 5 January 2024, and it is what we have to pay 1.200,50 EUR for.\n"
LEAK = 'The key of the pump.\n\naws = "' + "AKIA" + 'Q3EGRIDFUFLFXX77"\npassword = "hR7!k' + 'fj29ds"\n'
CLEAN = "The key of the pump is kept elsewhere.\n"


def values(document: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in document["fields"]:
        found.setdefault(each["name"], []).append(each["value"])
    return found


def events(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in document["events"] if event["type"] == kind]


async def test_a_document_has_the_fields_of_its_current_version(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("level.md", NOTES)
        assert values(document) == {
            "title": ["Level"],
            "language": ["en"],
            "heading": ["Level"],
            "money": ["EUR 1200.50"],
            "date": ["2024-01-05"],
        }
        assert document["language"] == "en"
        (date,) = [each for each in document["fields"] if each["name"] == "date"]
        assert NOTES[slice(*date["characters"])] == "5 January 2024"
        assert date["confidence"] == 0.9
        (completed,) = events(document, "ExtractionCompleted")
        assert completed["fields"] == {"title": 1, "language": 1, "heading": 1, "money": 1, "date": 1}
        assert 0.7 < completed["confidence"] < 1
        assert events(document, "ContentScanned") == []

        changed = await api.upload("level.md", NOTES.replace("# Level", "# Depth"))
        assert (changed["version"], values(changed)["title"]) == (2, ["Depth"])
        code = await api.upload("pump.py", '"""Pumps."""\nimport os\n\n\ndef start(): ...\n')
        assert (code["language"], values(code)["symbol"], values(code)["import"]) == ("python", ["start"], ["os"])
        assert (await api.parts.readers.run(check_history))["ok"]


async def test_the_check_of_the_index_compares_the_fields_with_the_bytes(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("level.md", NOTES)
        pipeline = api.parts.checks.pipeline  # type: ignore[attr-defined]
        assert (await check_index(pipeline))["ok"]
        await pipeline.database.writer.submit(lambda tx: tx.execute("UPDATE fields SET value = '1' WHERE name = 'date'"))
        (problem,) = (await check_index(pipeline))["problems"]
        assert (problem["code"], problem["document_id"]) == ("fields_differ", document["id"])


async def test_a_file_with_a_secret_is_indexed_with_a_warning_that_does_not_show_it(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        document = await api.upload("pump.txt", LEAK)
        assert document["status"] == "indexed"
        (scanned,) = events(document, "ContentScanned")
        assert (scanned["count"], scanned["kinds"], scanned["action"]) == (2, {"aws_access_key": 1, "password": 1}, "warn")
        assert [(each["kind"], each["line"]) for each in scanned["findings"]] == [("aws_access_key", 3), ("password", 4)]
        assert "EGRIDF" not in str(document["events"])
        assert "kfj29" not in str(document["events"])


@pytest.mark.parametrize(("action", "status", "reason"), [("skip", "skipped", "secret_found"), ("fail", "failed", "secret_forbidden")])
async def test_a_file_with_a_secret_is_left_out_where_the_settings_say_so(action: str, status: str, reason: str, tmp_path: Path) -> None:
    async with http_api(tmp_path, scan_action=action) as api:
        document = await api.upload("pump.txt", LEAK)
        assert (document["status"], document["reason"], document["version"], document["fields"]) == (status, reason, None, [])
        (scanned,) = events(document, "ContentScanned")
        assert (scanned["count"], scanned["action"]) == (2, action)
        assert "EGRIDF" not in str(document)
        assert (await api.upload("pump.txt", CLEAN))["status"] == "indexed"
        assert (await api.parts.readers.run(check_history))["ok"]
    assert_nothing_staged(tmp_path)


async def test_bytes_that_were_indexed_with_a_warning_do_not_count_as_unchanged_once_secrets_are_forbidden(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        assert (await api.upload("pump.txt", LEAK))["status"] == "indexed"
        assert (await api.upload("pump.txt", LEAK))["events"][-2]["type"] == "DocumentUnchanged"
    async with http_api(tmp_path, scan_action="skip") as api:
        document = await api.upload("pump.txt", LEAK)
        assert (document["status"], document["reason"], document["version"]) == ("skipped", "secret_found", None)
        assert await hits(api, "pump") == []


async def hits(api: Api, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.client.post("/search", json={"query": query, "mode": "text"})).json()["hits"]
    return found


def assert_nothing_staged(data_dir: Path) -> None:
    import sqlite3

    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection:
        assert connection.execute("SELECT count(*) FROM versions WHERE valid_from IS NULL").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM fields WHERE version_id NOT IN (SELECT id FROM versions)").fetchone() == (0,)
