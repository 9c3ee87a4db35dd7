"""Two projects: whatever is asked with a key of the one, nothing of the other is in the answer, nor in how it differs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.integration.http_api import Api, http_api
from tests.integration.two_projects import DEFAULT, Project, fill

from forebay.server.keys.key import SCOPES
from forebay.server.pages import encode_cursor
from forebay.telemetry.tables import queryable

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "nobodysword"
_MOMENTARY = re.compile(r'"(?:took_ms|lag_seconds|latency_ms)":[0-9.]+|"timestamp":"[^"]*"')


@dataclass(frozen=True, kw_only=True)
class World:
    api: Api
    projects: tuple[Project, ...]

    def others(self, mine: Project) -> list[Project]:
        return [each for each in self.projects if each is not mine]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    projects = (
        Project(name=DEFAULT, word="wombatword", count=2),
        Project(name="quokkaword", word="quokkaword", count=3),
        Project(name="numbatword", word="numbatword", count=5),
    )
    async with http_api(tmp_path_factory.mktemp("projects"), rate_limit=0, scan_action="fail") as api:
        for each in projects:
            await fill(api, each)
            await _fail_for_good(api, each)
        api.parts.observation.report()
        for each in projects:
            await _everything_is_told(api, each)
            each.timespan = f"2026-01-01/{datetime.now(UTC).isoformat()}"
        yield World(api=api, projects=projects)


async def _fail_for_good(api: Api, project: Project) -> None:
    """A file that makes a dead letter: with what looks like a key in it."""
    async with project.caller(api, "write") as writer:
        posted = await writer.post("/documents", params={"name": f"{project.word}-secret.md"}, content="AKIA" + "Q3EGRIDFUFLFXX77")
    identity = posted.json()["id"]
    settled = await api.client.get(f"/documents/{identity}", params={"project": project.name, "wait_seconds": 30})
    assert settled.json()["status"] == "failed"
    project.document_ids.append(identity)


async def _everything_is_told(api: Api, project: Project) -> None:
    """The program's own rows come a moment later."""
    told = f"requests | where url == '/keys/{project.key_ids[-1]}' | count"
    summed = "customMetrics | where name == 'http_request_duration' | count"
    for query in (told, summed):
        async with asyncio.timeout(20):
            while True:
                answer = await api.client.post("/query", json={"query": query, "project": project.name})
                if answer.json()["tables"][0]["rows"] != [[0]]:
                    break
                await asyncio.sleep(0.05)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request, and one that differs in nothing but that it names what nobody has."""

    url: str
    options: dict[str, Any]

    def renamed(self, names: dict[str, str]) -> Ask:
        def rename(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: rename(each) for name, each in value.items()}
            if isinstance(value, list):
                return [rename(each) for each in value]
            if type(value) is int:
                return int(names.get(str(value), value))
            for old, new in names.items() if isinstance(value, str) else ():
                value = value.replace(old, new)
            return value

        return Ask(url=rename(self.url), options=rename(self.options))


def ask(url: str, **options: Any) -> Ask:
    return Ask(url=url, options=options)


def _document(url: str, **options: Any) -> Callable[[Project], list[Ask]]:
    return lambda project: [
        ask(url.format(project.document_ids[0]), **options),
        ask(url.format(project.document_ids[0]), params={"project": project.name}, **options),
    ]


def _blob(url: str = "", **options: Any) -> Callable[[Project], list[Ask]]:
    return lambda project: [
        ask(f"/containers/processed/blobs/{project.blobs[0]}", **options),
        ask(f"/containers/incoming/blobs/{project.word}-put.md", **options),
    ]


def _in_project(url: str, **options: Any) -> Callable[[Project], list[Ask]]:
    return lambda project: [ask(url, **options), ask(url, params={"project": project.name}, **options)]


def _documents(project: Project) -> list[Ask]:
    own_place = encode_cursor(f"{project.document_ids[0]}{project.word}-0.md")
    return [
        *_in_project("/documents")(project),
        *(ask("/documents", params=params) for params in ({"limit": "1"}, {"status": "deleted"}, {"status": "skipped"})),
        ask("/documents", params={"name_prefix": project.word}),
        ask("/documents", params={"cursor": own_place}),
    ]


def _blobs(project: Project) -> list[Ask]:
    return [
        *(ask(f"/containers/{name}/blobs") for name in ("incoming", "processed", "failed", "archive", project.word)),
        ask("/containers/processed/blobs", params={"prefix": project.blobs[0]}),
        ask("/containers/processed/blobs", params={"limit": "1", "cursor": encode_cursor(project.blobs[0])}),
    ]


HUB = "/runtime/webhooks/durabletask"


def _starts(path: str) -> Callable[[Project], list[Ask]]:
    def asks(project: Project) -> list[Ask]:
        posted = {"projectId": project.name, "name": "again.md", "text": "again"}
        return [ask(path.format(name=name, instance_id=project.instance_id), json=posted) for name in ("embeddings", "ingest_document")]

    return asks


def _instance(operation: str = "", *, params: dict[str, str] | None = None, **options: Any) -> Callable[[Project], list[Ask]]:
    def asks(project: Project) -> list[Ask]:
        urls = [f"{HUB}/instances/{each}{operation}" for each in (project.instance_id, f"ingest-{project.document_ids[0]}-1")]
        named = [params or {}, {**(params or {}), "project": project.name}]
        return [ask(url, params=each, **options) for url in urls for each in named]

    return asks


def _letters(url: str) -> Callable[[Project], list[Ask]]:
    return lambda project: [
        ask(url, json={"ids": [project.letter_id]}),
        ask(url, json={"ids": [project.letter_id]}, params={"project": project.name}),
        ask(url, json={"filter": {"code": project.word}}),
        ask(url, json={"filter": {"code": project.word}, "dry_run": True}, params={"project": project.name}),
    ]


def _nothing(url: str, **options: Any) -> Callable[[Project], list[Ask]]:
    return lambda project: [ask(url, **options)]


# What each route is asked: without naming anything, and with the names and ids of a project.
ROUTES: dict[tuple[str, str], Callable[[Project], list[Ask]]] = {
    ("GET", "/"): _nothing("/"),
    ("GET", "/docs"): _nothing("/docs"),
    ("GET", "/health"): _nothing("/health"),
    ("GET", "/health/live"): _nothing("/health/live"),
    ("GET", "/health/ready"): _nothing("/health/ready"),
    ("POST", "/documents"): lambda project: [ask("/documents", params={"name": "again.md", "project": project.name}, content="")],
    ("GET", "/documents"): _documents,
    ("GET", "/documents/summary"): _in_project("/documents/summary"),
    ("GET", "/documents/{document_id}"): _document("/documents/{}"),
    ("GET", "/documents/{document_id}/chunks"): _document("/documents/{}/chunks"),
    ("DELETE", "/documents/{document_id}"): _document("/documents/{}"),
    ("GET", "/containers/{container}/blobs"): _blobs,
    ("GET", "/containers/{container}/blobs/{name}"): _blob(),
    ("HEAD", "/containers/{container}/blobs/{name}"): _blob(),
    ("PUT", "/containers/{container}/blobs/{name}"): _blob(content="mine"),
    ("DELETE", "/containers/{container}/blobs/{name}"): _blob(),
    ("POST", "/search"): lambda project: [
        *(ask("/search", json={"query": "water", "mode": mode}) for mode in ("hybrid", "text", "vector")),
        ask("/search", json={"query": project.word, "mode": "text"}),
        ask("/search", json={"query": "water", "project": project.name}),
        ask("/search", json={"query": "water", "filters": {"name": f"{project.word}-0.md"}}),
    ],
    ("POST", "/logs"): _in_project("/logs", json={"entries": []}),
    ("POST", "/metrics"): _in_project("/metrics", json={"entries": []}),
    ("POST", "/events"): _in_project("/events", json={"entries": []}),
    ("GET", "/stats"): _in_project("/stats"),
    ("POST", "/query"): lambda project: [
        ask("/query", json={"query": "union withsource=T * | where name != ''", "timespan": project.timespan}),
        ask("/query", json={"query": "print 1", "project": project.name}),
    ],
    ("POST", "/query/explain"): lambda project: [
        ask("/query/explain", json={"query": "union withsource=T * | where name != ''", "timespan": project.timespan}),
        ask("/query/explain", json={"query": "print 1", "project": project.name}),
    ],
    ("POST", "/query/complete"): lambda project: [
        ask("/query/complete", json={"query": f"traces | where {project.word[:2]}", "cursor": 17}),
        ask("/query/complete", json={"query": "", "cursor": 0, "project": project.name}),
    ],
    ("POST", "/api/orchestrators/{name}"): _starts("/api/orchestrators/{name}"),
    ("POST", "/api/orchestrators/{name}/{instance_id}"): _starts("/api/orchestrators/{name}/{instance_id}"),
    ("POST", f"{HUB}/orchestrators/{{name}}"): _starts(f"{HUB}/orchestrators/{{name}}"),
    ("POST", f"{HUB}/orchestrators/{{name}}/{{instance_id}}"): _starts(f"{HUB}/orchestrators/{{name}}/{{instance_id}}"),
    ("GET", f"{HUB}/instances"): lambda project: [
        *_in_project(f"{HUB}/instances")(project),
        ask(f"{HUB}/instances", params={"instanceIdPrefix": project.word, "top": "1"}),
    ],
    ("DELETE", f"{HUB}/instances"): lambda project: [
        ask(f"{HUB}/instances", params={"createdTimeFrom": "2999-01-01T00:00:00Z", "project": project.name})
    ],
    ("GET", f"{HUB}/instances/{{instance_id}}"): _instance(params={"showHistory": "true", "showHistoryOutput": "true"}),
    ("DELETE", f"{HUB}/instances/{{instance_id}}"): _instance(),
    ("POST", f"{HUB}/instances/{{instance_id}}/raiseEvent/{{event_name}}"): _instance("/raiseEvent/go", json=1),
    ("POST", f"{HUB}/instances/{{instance_id}}/terminate"): _instance("/terminate"),
    ("POST", f"{HUB}/instances/{{instance_id}}/suspend"): _instance("/suspend"),
    ("POST", f"{HUB}/instances/{{instance_id}}/resume"): _instance("/resume"),
    ("POST", f"{HUB}/instances/{{instance_id}}/rewind"): _instance("/rewind"),
    ("POST", f"{HUB}/instances/{{instance_id}}/restart"): _instance("/restart"),
    ("GET", "/deadletters"): lambda project: [
        *_in_project("/deadletters")(project),
        *(ask("/deadletters", params={name: project.word, "status": "all"}) for name in ("name", "code", "orchestrator")),
        ask("/deadletters", params={"cursor": encode_cursor(str(project.letter_id + 1))}),
    ],
    ("GET", "/deadletters/{letter_id}"): lambda project: _in_project(f"/deadletters/{project.letter_id}")(project),
    ("POST", "/deadletters/replay"): _letters("/deadletters/replay"),
    ("POST", "/deadletters/purge"): _letters("/deadletters/purge"),
    ("GET", "/check/index"): _nothing("/check/index"),
    ("POST", "/check/index/repair"): _nothing("/check/index/repair"),
    ("GET", "/check/history"): _nothing("/check/history"),
    ("POST", "/check/history/repair"): _nothing("/check/history/repair"),
    ("GET", "/reindex"): _nothing("/reindex"),
    ("POST", "/reindex"): _nothing("/reindex"),
    ("GET", "/keys"): _in_project("/keys"),
    ("POST", "/keys"): lambda project: [ask("/keys", json={"name": "", "scopes": ["read"], "project": project.name})],
    ("POST", "/keys/{key_id}/rotate"): lambda project: [ask(f"/keys/{each}/rotate") for each in (project.key_ids[0], project.key_ids[-1])],
    ("DELETE", "/keys/{key_id}"): lambda project: [ask(f"/keys/{each}") for each in (project.key_ids[0], project.key_ids[-1])],
}


async def test_every_route_of_the_description_is_walked(world: World) -> None:
    described = {(method.upper(), path) for path, operations in world.api.asgi.openapi()["paths"].items() for method in operations}
    assert set(ROUTES) == described


def shown(answer: httpx.Response) -> str:
    """Everything of an answer that a client can read, but for what differs from one moment to the next."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-correlation-id", "content-length")}
    return f"{answer.status_code} {headers} {_MOMENTARY.sub('', answer.text)}"


def nameless(project: Project) -> dict[str, str]:
    """Names and ids of a project, and such that nobody has, of the same form."""
    names = {identity: "0" * len(identity) for identity in (*project.document_ids, *project.key_ids)}
    names[str(project.letter_id)] = "9999999999"
    return names | {project.word: NOBODY[: len(project.word)]} | ({} if project.word == project.name else {project.name: "no-project-15ch"})


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("position", range(3), ids=["default", "second", "third"])
async def test_no_route_tells_anything_of_another_project(world: World, position: int, scope: str) -> None:
    mine = world.projects[position]
    async with mine.caller(world.api, scope) as client:
        for (method, path), asks in ROUTES.items():
            if method in ("GET", "HEAD") or path.startswith(("/search", "/query")):
                for own in asks(mine):
                    told = shown(await client.request(method, own.url, **own.options))
                    for other in world.others(mine):
                        assert not [secret for secret in other.secrets if secret in told], (scope, method, own)
            for other in world.others(mine):
                for foreign in asks(other):
                    await _is_as_if_there_were_nothing(client, method, foreign, mine, other, scope)


async def _is_as_if_there_were_nothing(
    client: httpx.AsyncClient, method: str, foreign: Ask, mine: Project, other: Project, scope: str
) -> None:
    """What belongs to another project is answered like what does not exist, in everything but the echo of its name."""
    nobodys = foreign.renamed(nameless(other))
    if method == "PUT" and mine.name == DEFAULT and scope in ("write", "admin"):
        # names in a container are there once: that one is taken can be seen by who may write new ones, whose it is cannot
        answer = await client.request(method, foreign.url, **foreign.options)
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_project")
        return
    if nobodys == foreign:
        return  # it names nothing
    answers = [await client.request(method, each.url, **each.options) for each in (foreign, nobodys)]
    told, expected = (shown(answer) for answer in answers)
    for name, unknown in nameless(other).items():
        told = told.replace(name, unknown)
    assert told == expected, (scope, method, foreign)


TABLES = sorted(queryable())
ANSWERED = [
    *TABLES,
    "union *",
    "union withsource=T * | summarize count() by T",
    *(f"{table} | join kind=fullouter (union *) on operation_Id" for table in TABLES),
    "traces | join kind=inner (customEvents) on cloud_RoleName",
    "traces | lookup kind=leftouter (customEvents) on operation_Id",
    "documents | join kind=leftouter (documentEvents) on $left.id == $right.document_id",
    "arrivals | join kind=fullouter (instances) on $left.instance_id == $right.id",
    "deadLetters | join kind=fullouter (instanceEvents) on $left.instance_id == $right.id",
    "deadLetterEvents | summarize make_set(reason), make_set(instance_id), dcount(id), max(id), max(sequence)",
    "union traces, exceptions, requests | where message has 'word' or tostring(customDimensions) has 'word' or url has 'word'",
    "documentEvents | summarize make_set(name), make_set(tostring(data)), dcount(document_id)",
    "customMetrics | summarize sum(value), max(value) by name, tostring(customDimensions)",
    "requests | summarize count() by url, operation_Id",
    "requests | distinct client_IP, url, operation_Id",
    "traces | summarize arg_max(timestamp, *) by message",
    "traces | mv-expand customDimensions",
    "let t = union *; t | summarize make_set(operation_Id)",
    "traces | extend n = tolong(message)",
    "print x = toscalar(union * | summarize make_set(operation_Id))",
]
OTHERWISE = [  # refused today, for the most part
    *(f"{table} | where * has 'word'" for table in TABLES),
    "search 'word'",
    "find where message has 'word'",
    "traces | evaluate bag_unpack(customDimensions)",
    "traces | where nosuch == 1",
    "nosuch",
    "['traces",
    "traces | project _project",
    "store.traces",
    "database('store').traces",
    "traces | extend x = toint(message) / 0 | where x == 'a'",
    "traces | where quokkaword == 1",
]


@pytest.mark.parametrize("position", range(3), ids=["default", "second", "third"])
async def test_no_query_tells_anything_of_another_project(world: World, position: int) -> None:
    mine = world.projects[position]
    async with mine.caller(world.api, "read") as client:
        for query in (*ANSWERED, *OTHERWISE):
            answer = await client.post("/query", json={"query": query, "timespan": mine.timespan})
            assert answer.status_code == 200 or query in OTHERWISE, answer.text
            told = shown(answer)
            for other in world.others(mine):
                assert not [secret for secret in other.secrets if secret in told and secret not in query], query


@pytest.mark.parametrize("position", range(3), ids=["default", "second", "third"])
async def test_every_count_is_that_of_the_project(world: World, position: int) -> None:
    mine = world.projects[position]
    documents, count = len(mine.document_ids), mine.count
    async with mine.caller(world.api, "read") as client:
        for query, expected in {
            "documents | count": documents,
            "arrivals | count": documents + 2,  # a deletion arrives too, and a text that changes nothing
            "documentEvents | summarize dcount(document_id)": documents,
            "instances | where name == 'ingest_document' | count": documents + 2,
            "instanceEvents | where name == 'ingest_document' | summarize dcount(id)": documents + 2,
            "deadLetters | count": 1,  # of the file that has failed; what is skipped makes none
            f"deadLetterEvents | where instance_id has '{mine.document_ids[-1]}' | count": 1,
            f"traces | where message has '{mine.word}' and source != 'platform' | count": count,
            "exceptions | where source != 'platform' | count": 1,
            "customEvents | where source != 'platform' | count": count,
            "customMetrics | where source != 'platform' | count": count,
        }.items():
            answer = await client.post("/query", json={"query": query, "timespan": mine.timespan})
            assert answer.json()["tables"][0]["rows"] == [[expected]], query
        summary = (await client.get("/documents/summary")).json()
        assert (summary["arrivals"], summary["in_flight"]) == (documents + 2, 0)
        assert summary["outcomes"] == {"indexed": count + 2, "unchanged": 1, "skipped": 1, "failed": 1, "deleted": 1}
        stats = (await client.get("/stats")).json()
        sent = {"logs_sent": count + 1, "metrics_sent": count, "events_sent": count, "batches_refused": 1}
        assert {name: stats[name] for name in sent} == sent


async def test_a_key_of_all_projects_sees_each_and_their_sum(world: World) -> None:
    client = world.api.client
    for path, names in (("/stats", ["logs_sent", "metrics_sent", "events_sent", "batches_refused"]),):
        everything = (await client.get(path)).json()
        each = [(await client.get(path, params={"project": project.name})).json() for project in world.projects]
        for name in names:
            assert everything[name] == sum(one[name] for one in each)
    everything = (await client.get("/documents/summary")).json()["stages"]
    each = [(await client.get("/documents/summary", params={"project": project.name})).json()["stages"] for project in world.projects]
    assert set(everything) == {"embed_seconds", "parse_seconds", "read_seconds", "write_seconds"}
    for name, seconds in everything.items():
        assert all(one[name] > 0 for one in each)
        assert seconds == pytest.approx(sum(one[name] for one in each), abs=0.01)


async def test_the_same_idempotency_key_and_correlation_id_in_two_projects_are_two(world: World) -> None:
    entry = {"message": "the same for both", "service": "s"}
    headers = {"Idempotency-Key": "shared", "X-Correlation-ID": "shared"}
    mine, other = world.projects[1:]
    for project in (mine, other):
        async with project.caller(world.api, "admin") as client:
            assert (await client.post("/logs", json={"entries": [entry]}, headers=headers)).status_code == 202
    for project in (mine, other):
        async with project.caller(world.api, "read") as client:
            query = "traces | where message == 'the same for both' | count"
            assert (await client.post("/query", json={"query": query})).json()["tables"][0]["rows"] == [[1]]


@pytest.mark.parametrize("path", ["/check/index", "/check/history", "/check/index/repair", "/check/history/repair", "/reindex"])
async def test_what_is_about_all_projects_needs_a_key_of_all_projects(world: World, path: str) -> None:
    methods = ("POST",) if path.endswith("repair") else ("GET", "POST") if path == "/reindex" else ("GET",)
    for method in methods:
        async with world.projects[0].caller(world.api, "admin") as client:
            refused = await client.request(method, path)
            assert (refused.status_code, refused.json()["code"]) == (403, "all_projects_needed")
        assert (await world.api.client.request(method, path)).status_code < 300


async def test_health_tells_a_key_of_a_project_that_something_is_wrong_but_not_what(tmp_path: Path) -> None:
    class Outdated:
        async def state(self) -> object:
            return SimpleNamespace(message="4711 texts of all projects have no vector")

    async with http_api(tmp_path) as api:
        project = Project(name="theirs", word="quokkaword", count=1)
        await fill(api, project)
        api.replace("index", Outdated())
        await api.parts.embedder.close()
        everything = (await api.client.get("/health")).json()
        assert "4711" in everything["message"] and everything["services"]["embedder"]["message"]
        async with project.caller(api, "admin") as client:
            health = (await client.get("/health")).json()
        assert health["status"] == "degraded" and health["message"] and "4711" not in health["message"]
        assert health["services"]["embedder"]["state"] == "unhealthy"
        assert {service["message"] for service in health["services"].values()} == {None}


async def test_what_a_request_fails_with_is_told_to_its_own_project(tmp_path: Path) -> None:
    class Broken:
        async def head(self, address: object) -> object:
            raise RuntimeError(f"{address} is broken")

    async with http_api(tmp_path, rate_limit=0.001, rate_limit_burst=30) as api:
        project = Project(name="theirs", word="quokkaword", count=1)
        await fill(api, project)
        api.replace("blobs", Broken())
        async with project.caller(api, "read") as client:
            assert (await client.get(f"/containers/processed/blobs/{project.blobs[0]}")).status_code == 500
            while (await client.get(f"/documents/{project.document_ids[0]}")).status_code != 429:
                pass
        about = "union exceptions, customEvents | where name == 'rate_limit_exceeded' or outerMessage has 'broken' | count"
        async with asyncio.timeout(20):
            while (await api.client.post("/query", json={"query": about, "project": "theirs"})).json()["tables"][0]["rows"][0][0] < 2:
                await asyncio.sleep(0.05)
        everything = (await api.client.post("/query", json={"query": "union *"})).text
        assert not [secret for secret in project.secrets if secret in everything]
