"""Projects side by side in one program, each full of words and ids that nobody else may see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.integration.http_api import Api

from forebay.database import Transaction
from forebay.durable.failures import Failure
from forebay.durable.journal.dead_letters import put_away
from forebay.durable.journal.journal import InstanceRow
from forebay.server.keys.key import SCOPES

DEFAULT = "default-project"


@dataclass(kw_only=True)
class Project:
    """What was put into a project, and by whose keys."""

    name: str
    word: str  # in everything that belongs to the project
    count: int  # of its documents, and of each kind of telemetry; every project has another one
    keys: dict[str, str] = field(default_factory=dict)  # by scope
    key_ids: list[str] = field(default_factory=list)
    document_ids: list[str] = field(default_factory=list)
    instance_id: str = ""
    letter_id: int = 0
    blobs: list[str] = field(default_factory=list)  # in `processed`
    timespan: str = ""  # until it was full: what is asked afterwards leaves traces with the names it asks for

    @property
    def secrets(self) -> set[str]:
        """What no answer to another project has."""
        return {self.word, str(self.letter_id), *self.key_ids, *self.document_ids, *self.blobs}

    @asynccontextmanager
    async def caller(self, api: Api, scope: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client with the project's key of a scope."""
        async with api.stranger(**{"X-API-Key": self.keys[scope], "X-Correlation-ID": f"{self.word}-{scope}"}) as client:
            yield client


async def fill(api: Api, project: Project) -> None:
    """Put files, telemetry and keys into a project, by its own keys and by one of all projects, failures included."""
    for scope in SCOPES:
        made = await _json(api.client.post("/keys", json={"name": f"{project.word} {scope}", "scopes": [scope], "project": project.name}))
        project.keys[scope] = made["key"]
        project.key_ids.append(made["id"])
    await _fill_files(api, project)
    await _fill_telemetry(api, project)
    await _orchestrate(api, project)
    await _leave_dead_letter(api, project)
    await _ask(api, project)
    await _manage(api, project)


async def _fill_files(api: Api, project: Project) -> None:
    word = project.word
    files = {f"{word}-{number}.md": f"The {word} drinks water, {number} times." for number in range(project.count)}
    files |= {f"{word}-skipped.bin": f"{word}", f"{word}-deleted.md": f"the {word} leaves"}
    async with project.caller(api, "write") as writer, project.caller(api, "read") as reader:
        for name, text in files.items():
            identity = (await _json(writer.post("/documents", params={"name": name}, content=text)))["id"]
            await reader.get(f"/documents/{identity}", params={"wait_seconds": 30})
            project.document_ids.append(identity)
        await writer.delete(f"/documents/{project.document_ids[-1]}")
        await reader.get(f"/documents/{project.document_ids[-1]}", params={"wait_seconds": 30})
    put = await api.client.put(f"/containers/incoming/blobs/{word}-put.md", params={"project": project.name}, content=f"{word} was put")
    assert put.status_code == 201, put.text
    while True:
        found = (await _json(api.client.get("/documents", params={"project": project.name, "name_prefix": f"{word}-put"})))["documents"]
        if found:
            break
    await api.client.get(f"/documents/{found[0]['id']}", params={"project": project.name, "wait_seconds": 30})
    project.document_ids.append(found[0]["id"])
    async with project.caller(api, "read") as reader:
        project.blobs += [each["name"] for each in (await _json(reader.get("/containers/processed/blobs")))["blobs"]]
    assert len(project.blobs) >= project.count


async def _fill_telemetry(api: Api, project: Project) -> None:
    word, numbers = project.word, range(project.count)
    error = {"type": word, "message": word, "stacktrace": word}
    entries: dict[str, list[dict[str, Any]]] = {
        "logs": [{"message": f"{word} {number}", "service": word, "labels": {word: word}} for number in numbers],
        "metrics": [{"name": word, "value": number, "service": word, "unit": word} for number in numbers],
        "events": [{"name": word, "labels": {word: word}, "measurements": {word: number}} for number in numbers],
    }
    async with project.caller(api, "ingest") as ingester:
        for kind, rows in entries.items():
            body = {"entries": rows, "agent_version": word}
            await _json(ingester.post(f"/{kind}", json=body, headers={"Idempotency-Key": "the-same-for-all"}))
        await _json(ingester.post("/logs", json={"entries": [{"message": word, "service": word, "exception": error}]}))
        assert (await ingester.post("/logs", json={"entries": [{"message": word}]})).status_code == 422


async def _orchestrate(api: Api, project: Project) -> None:
    """The first file again, as posted text: its instance has an id of its own, and changes nothing."""
    word = project.word
    project.instance_id = f"{word}-instance"
    posted = {"projectId": project.name, "name": f"{word}-0.md", "text": f"The {word} drinks water, 0 times."}
    async with project.caller(api, "write") as writer:
        done = await _json(writer.post(f"/api/orchestrators/embeddings/{project.instance_id}?timeout=30", json=posted))
    assert done == {"ok": True, "id": f"{word}-0.md"}


async def _leave_dead_letter(api: Api, project: Project) -> None:
    """Of an instance that is not there any more, so that nothing can come of it but what is asked for."""
    word = project.word
    gone = InstanceRow(
        key=0,
        id=f"{word}-gone",
        name=word,
        status="Failed",
        input_json="1",
        output_json=None,
        created_at=1,
        updated_at=2,
        lane="",
        correlation_id=f"{word}-letter",
        project=project.name,
    )
    project.letter_id = 4_815_000_000 + 1000 * project.count

    def unit(tx: Transaction) -> None:
        letter = put_away(tx, gone, Failure(code=word, message=word, retryable=False), 2, activity=(0, word, f'"{word}"'))
        tx.execute("UPDATE dead_letters SET id = ? WHERE id = ?", (project.letter_id, letter))

    await api.program.core.engine.database.writer.submit(unit)


async def _ask(api: Api, project: Project) -> None:
    """Questions leave traces too, and so do those that fail."""
    async with project.caller(api, "read") as reader:
        await reader.post("/search", json={"query": project.word})
        await reader.post("/query", json={"query": f"traces | where {project.word} == 1"})
        await reader.get(f"/documents/{project.word}")
        await reader.get("/documents", params={"name_prefix": project.word})
        await reader.delete(f"/documents/{project.word}")


async def _manage(api: Api, project: Project) -> None:
    """What somebody with a key of all projects does to a project belongs to it as well."""
    named = {"project": project.name}
    await api.client.get(f"/documents/{project.document_ids[0]}", params=named)
    await api.client.get(f"/containers/processed/blobs/{project.blobs[0]}")
    await api.client.head(f"/containers/processed/blobs/{project.blobs[0]}")
    page = await _json(api.client.get("/containers/processed/blobs", params={"limit": 1}))
    await api.client.get("/containers/processed/blobs", params={"limit": 1, "cursor": page["next_cursor"]})
    extra = await _json(api.client.post("/keys", json={"name": project.word, "scopes": ["read"], **named}))
    follower = await _json(api.client.post(f"/keys/{extra['id']}/rotate"))
    await api.client.delete(f"/keys/{follower['id']}")
    project.key_ids += [extra["id"], follower["id"]]


async def _json(asked: Any) -> Any:
    answer = await asked
    assert answer.status_code < 300, answer.text
    return answer.json()
