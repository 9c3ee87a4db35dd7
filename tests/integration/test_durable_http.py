"""The management API in an application of its own: a registry, an engine, a router."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from azure.durable_functions import DurableOrchestrationClient, OrchestrationRuntimeStatus
from fastapi import FastAPI, HTTPException, Request
from tests.integration.durable_works import Works
from tests.integration.served_app import azure_bindings, served

from forebay.durable import DurableEngine, ManagementUrls, OrchestrationStatus
from forebay.durable.http import Access, Beginning, Guard, Need, durable_router
from forebay.errors import ForebayError
from forebay.values.correlation import Correlation

SECRET = b"s" * 32
BASE = "http://app.example:81/prefix"
AZURE_PAYLOAD = {
    "id",
    "statusQueryGetUri",
    "sendEventPostUri",
    "terminatePostUri",
    "purgeHistoryDeleteUri",
    "rewindPostUri",
    "suspendPostUri",
    "resumePostUri",
    "restartPostUri",
}
HUB = "/runtime/webhooks/durabletask"


@dataclass(frozen=True, kw_only=True)
class App:
    works: Works
    engine: DurableEngine
    asgi: FastAPI
    http: httpx.AsyncClient

    async def start(self, name: str, value: Any = None, instance_id: str | None = None) -> dict[str, str]:
        suffix = "" if instance_id is None else f"/{instance_id}"
        answer = await self.http.post(f"/api/orchestrators/{name}{suffix}", json=value)
        assert answer.status_code == 202, answer.text
        payload: dict[str, str] = answer.json()
        return payload

    async def end(self, instance_id: str) -> OrchestrationStatus:
        return await self.engine.client.wait_for_completion(instance_id, 20)

    async def ended(self, name: str, value: Any = None, instance_id: str | None = None) -> dict[str, str]:
        payload = await self.start(name, value, instance_id)
        await self.end(payload["id"])
        return payload

    async def until(self, url: str, status: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                answer = await self.http.get(url)
                if answer.json()["runtimeStatus"] == status:
                    body: dict[str, Any] = answer.json()
                    return body
                await asyncio.sleep(0)


@asynccontextmanager
async def opened(tmp_path: Path, guard: Guard | None = None, **options: Any) -> AsyncIterator[App]:
    works = Works()
    engine = DurableEngine(works.registry, tmp_path / "jobs.db")
    engine.client.urls = ManagementUrls(BASE, SECRET)
    asgi = FastAPI()
    asgi.include_router(durable_router(engine.client, guard, **options))
    # what a proxy in front of the application does with the path under which it is public
    transport = httpx.ASGITransport(app=_Prefixed(asgi))  # type: ignore[arg-type]
    async with engine, httpx.AsyncClient(transport=transport, base_url="http://app.example:81") as http:
        yield App(works=works, engine=engine, asgi=asgi, http=http)


class _Prefixed:
    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app({**scope, "path": scope["path"].removeprefix("/prefix")}, receive, send)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with opened(tmp_path) as app:
        yield app


class Keyed(Guard):
    """Lets in who has the key of a project; knows other programs of the application by name."""

    async def admit(self, request: Request, need: Need) -> Access:
        key = request.headers.get("X-Key", "")
        if key not in ("a", "b", "reader-a"):
            raise HTTPException(401, "no key")
        if need == "write" and key.startswith("reader"):
            raise HTTPException(403, "read only")
        return Access(project=key[-1], names=frozenset({"echo", "wait", "break_once"}))

    async def begin(self, request: Request, access: Access, name: str, value: Any) -> Beginning:
        return Beginning(value=value, correlation=Correlation(id="c", project=access.project))


# -- the wire ---------------------------------------------------------------------------------------------------------


async def test_a_start_answers_the_urls_and_where_to_look(app: App):
    answer = await app.http.post("/api/orchestrators/echo", json={"a": 1})
    assert answer.status_code == 202
    payload = answer.json()
    assert set(payload) == AZURE_PAYLOAD
    assert answer.headers["location"] == payload["statusQueryGetUri"]
    assert answer.headers["retry-after"] == "10"
    assert all(url.startswith(f"{BASE}{HUB}/instances/{payload['id']}") for name, url in payload.items() if name != "id")
    assert app.engine.client.create_http_management_payload(payload["id"]) == payload


async def test_the_state_is_in_azures_names_and_times(app: App):
    payload = await app.ended("echo", {"a": 1})
    answer = await app.http.get(payload["statusQueryGetUri"])
    body = answer.json()
    assert answer.status_code == 200
    assert {name: body[name] for name in ("name", "instanceId", "runtimeStatus", "input", "customStatus", "output", "historyEvents")} == {
        "name": "echo",
        "instanceId": payload["id"],
        "runtimeStatus": "Completed",
        "input": {"a": 1},
        "customStatus": {"seen": {"a": 1}},
        "output": {"a": 1},
        "historyEvents": None,
    }
    for name in ("createdTime", "lastUpdatedTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body[name])


async def test_history_outputs_and_input_are_there_when_asked_for(app: App):
    url = (await app.ended("echo", "in"))["statusQueryGetUri"]
    plain = (await app.http.get(url + "&showHistory=true")).json()["historyEvents"]
    assert [each["EventType"] for each in plain] == ["ExecutionStarted", "TaskCompleted", "ExecutionCompleted"]
    assert "Result" not in plain[1]
    full = (await app.http.get(url + "&showHistory=True&showHistoryOutput=True")).json()["historyEvents"]
    assert (full[1]["Result"], full[2]["Result"]) == ("in", "in")
    hidden = (await app.http.get(url + "&showHistory=true&showInput=false")).json()
    assert hidden["input"] is None
    assert "Input" not in hidden["historyEvents"][0]


async def test_an_instance_that_waits_answers_202_and_says_for_what(app: App):
    payload = await app.start("wait")
    await app.until(payload["statusQueryGetUri"], "Running")
    answer = await app.http.get(payload["statusQueryGetUri"])
    assert (answer.status_code, answer.headers["location"]) == (202, payload["statusQueryGetUri"])
    assert answer.json()["waits"]["waits"] == [{"kind": "event", "name": "go"}]


async def test_a_failure_is_an_answer_and_an_error_only_when_asked_for(app: App):
    url = (await app.ended("break_once"))["statusQueryGetUri"]
    answer = await app.http.get(url)
    assert (answer.status_code, answer.json()["runtimeStatus"], answer.json()["failureCode"]) == (200, "Failed", "broken")
    assert (await app.http.get(url + "&returnInternalServerErrorOnFailure=true")).status_code == 500


async def test_a_start_that_waits_answers_the_output_or_the_urls_or_the_failure(app: App):
    done = await app.http.post("/api/orchestrators/echo?timeout=20&pollingInterval=1", json=[1, 2])
    assert (done.status_code, done.json()) == (200, [1, 2])
    late = await app.http.post("/api/orchestrators/wait?timeout=0.01")
    assert (late.status_code, set(late.json())) == (202, AZURE_PAYLOAD)
    failed = await app.http.post("/api/orchestrators/break_once?timeout=20")
    assert (failed.status_code, failed.json()["output"]) == (500, "it is broken")
    again = await app.http.post(f"{HUB}/instances/{failed.json()['instanceId']}/restart?timeout=20")
    assert again.status_code == 500


async def test_a_start_that_waits_is_answered_when_the_server_stops(tmp_path: Path):
    class Stopping(Guard):
        async def interruption(self) -> None:
            return

    async with opened(tmp_path, Stopping()) as app:
        assert (await app.http.post("/api/orchestrators/wait?timeout=200")).status_code == 202


async def test_a_version_can_be_chosen(app: App):
    assert (await app.http.post("/api/orchestrators/versioned?timeout=20&version=1.0")).json() == "one"
    assert (await app.http.post("/api/orchestrators/versioned?timeout=20")).json() == "two"
    unknown = await app.http.post("/api/orchestrators/versioned?version=3")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "orchestrator_not_found")
    assert "'1.0', '2.0'" in unknown.json()["hint"]


async def test_an_id_is_taken_while_its_instance_runs_and_free_when_it_has_ended(app: App):
    payload = await app.start("wait", None, "mine")
    taken = await app.http.post("/api/orchestrators/wait/mine")
    assert (taken.status_code, taken.json()["code"]) == (409, "instance_not_over")
    await app.http.post(payload["sendEventPostUri"].replace("{eventName}", "go"), json="first")
    assert (await app.end("mine")).output == "first"
    assert await app.ended("echo", "second", "mine") == payload
    assert (await app.end("mine")).output == "second"


@pytest.mark.parametrize("identity", ["@a", "a%23b", "a%3Fb", "a%5Cb", "x" * 101, "a%01"])
async def test_ids_that_azure_refuses_are_refused(app: App, identity: str):
    refused = await app.http.post(f"/api/orchestrators/echo/{identity}")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_instance_id")


async def test_urls_of_odd_ids_work_as_they_come(app: App):
    payload = await app.ended("echo", 1, quote("ä b:%&=+", safe=""))
    assert payload["id"] == "ä b:%&=+"
    assert (await app.http.get(payload["statusQueryGetUri"])).json()["instanceId"] == "ä b:%&=+"
    assert (await app.http.delete(payload["purgeHistoryDeleteUri"])).json() == {"instancesDeleted": 1}


async def test_unknown_orchestrators_and_bodies_that_are_no_json_are_refused_in_words(app: App):
    unknown = await app.http.post("/api/orchestrators/ech", json=1)
    assert (unknown.status_code, unknown.headers["content-type"]) == (400, "application/problem+json")
    assert unknown.json()["ExceptionMessage"] == unknown.json()["detail"] == "there is no orchestrator 'ech'"
    assert (await app.http.post("/api/orchestrators/echo", content="{")).json()["code"] == "invalid_json"
    assert (await app.http.post("/api/orchestrators/echo", content='"' + "x" * (1 << 20) + '"')).status_code == 413
    assert await app.engine.client.get_status_all() == []


async def test_a_text_stays_a_text_but_for_azures_clients(app: App):
    assert (await app.http.post("/api/orchestrators/echo?timeout=20", json='{"a": 1}')).json() == '{"a": 1}'
    assert (await app.http.post(f"{HUB}/orchestrators/echo?timeout=20", json='{"a": 1}')).json() == {"a": 1}
    assert (await app.http.post(f"{HUB}/orchestrators/echo?timeout=20", json="a text")).json() == "a text"
    assert (await app.http.post("/api/orchestrators/echo?timeout=20")).json() is None


async def test_events_are_json_for_instances_that_can_read_them(app: App):
    payload = await app.start("wait")
    url = payload["sendEventPostUri"].replace("{eventName}", "go")
    refused = await app.http.post(url, content="1", headers={"Content-Type": "text/plain"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_content_type")
    assert (await app.http.post(url, content="{", headers={"Content-Type": "application/json"})).status_code == 400
    sent = await app.http.post(url, json={"n": 1})
    assert (sent.status_code, sent.content) == (202, b"")
    assert (await app.end(payload["id"])).output == {"n": 1}
    assert (await app.http.post(url, json=1)).status_code == 410
    assert (await app.http.post(f"{HUB}/instances/nobody/raiseEvent/go", json=1)).status_code == 404


async def test_every_url_of_an_instance_does_what_its_name_says(app: App):
    payload = await app.start("wait")
    url, text = payload["statusQueryGetUri"], "for a reason"

    async def post(name: str) -> int:
        return (await app.http.post(payload[name].replace("{text}", quote(text)))).status_code

    assert await post("suspendPostUri") == 202
    await app.until(url, "Suspended")
    assert await post("resumePostUri") == 202
    await app.until(url, "Running")
    assert await post("rewindPostUri") == 412  # as Azure's extension answers for one that runs
    assert (await app.http.delete(payload["purgeHistoryDeleteUri"])).status_code == 412
    assert (await app.http.post(f"{HUB}/instances/{payload['id']}/restart?restartWithNewInstanceId=false")).status_code == 409
    assert await post("terminatePostUri") == 202
    ended = await app.http.get(url)
    assert (ended.status_code, ended.json()["runtimeStatus"], ended.json()["output"]) == (200, "Terminated", text)
    assert [await post(f"{each}PostUri") for each in ("terminate", "suspend", "resume", "rewind")] == [410, 410, 410, 410]
    again = await app.http.post(payload["restartPostUri"])
    assert (again.status_code, again.json()["id"] != payload["id"]) == (202, True)
    in_place = await app.http.post(payload["restartPostUri"] + "&restartWithNewInstanceId=false")
    assert in_place.json() == payload
    assert await post("terminatePostUri") == 202
    purged = await app.http.delete(payload["purgeHistoryDeleteUri"])
    assert (purged.status_code, purged.json()) == (200, {"instancesDeleted": 1})
    assert (await app.http.get(url)).status_code == 404
    assert [await post(f"{each}PostUri") for each in ("terminate", "suspend", "resume", "rewind", "restart")] == [404] * 5


async def test_a_failed_instance_is_rewound(app: App):
    payload = await app.ended("break_once")
    app.works.is_broken = False
    assert (await app.http.post(payload["rewindPostUri"].replace("{text}", "mended"))).status_code == 202
    assert (await app.end(payload["id"])).output == "mended"
    assert (await app.http.post(payload["rewindPostUri"])).status_code == 410


async def test_lists_are_filtered_and_come_in_pages(app: App):
    ids = [(await app.ended("echo", number, f"echo-{number}"))["id"] for number in range(5)]
    waiting = await app.start("wait", None, "wait-1")
    await app.until(waiting["statusQueryGetUri"], "Running")
    shown: list[str] = []
    token: str | None = ""
    while token is not None:
        headers = {"x-ms-continuation-token": token} if token else {}
        page = await app.http.get(f"{HUB}/instances?top=2", headers=headers)
        shown += [each["instanceId"] for each in page.json()]
        token = page.headers.get("x-ms-continuation-token")
    assert shown == ["wait-1", *reversed(ids)]

    async def listed(query: str) -> list[str]:
        return sorted(each["instanceId"] for each in (await app.http.get(f"{HUB}/instances?{query}")).json())

    assert await listed("runtimeStatus=Completed,Failed") == ids
    assert await listed("runtimeStatus=Running,Pending") == ["wait-1"]
    assert await listed("runtimeStatus=Pending") == []
    assert await listed("runtimeStatus=Canceled") == []
    assert await listed("instanceIdPrefix=echo-") == ids
    now = datetime.now(UTC)
    assert await listed(f"createdTimeFrom={quote((now + timedelta(hours=1)).isoformat())}") == []
    assert (
        len(await listed(f"createdTimeFrom={(now - timedelta(hours=1)):%Y-%m-%dT%H:%M:%S.%fZ}&createdTimeTo={now:%Y-%m-%dT%H:%M:%SZ}")) <= 6
    )
    assert (await app.http.get(f"{HUB}/instances/?showInput=false")).json()[1]["input"] is None
    for wrong in ("runtimeStatus=Odd", "createdTimeFrom=yesterday", "top=0", "showInput=perhaps"):
        assert (await app.http.get(f"{HUB}/instances?{wrong}")).status_code == 422
    odd = await app.http.get(f"{HUB}/instances", headers={"x-ms-continuation-token": "odd"})
    assert (odd.status_code, odd.json()["code"]) == (400, "invalid_continuation_token")


async def test_a_purge_takes_what_has_ended_and_fits(app: App):
    await app.ended("echo", 1)
    await app.ended("break_once")
    waiting = await app.start("wait")
    url = f"{HUB}/instances?createdTimeFrom=2020-01-01T00:00:00Z"
    assert (await app.http.delete(f"{HUB}/instances")).status_code == 422
    assert (await app.http.delete(url + "&runtimeStatus=Failed")).json() == {"instancesDeleted": 1}
    assert (await app.http.delete(url)).json() == {"instancesDeleted": 1}
    nothing = await app.http.delete(url)
    assert (nothing.status_code, nothing.json()["code"]) == (404, "nothing_to_purge")
    assert (await app.http.get(waiting["statusQueryGetUri"])).status_code == 202


async def test_a_client_without_a_public_url_says_how_to_set_one(app: App):
    app.engine.client.urls = None
    with pytest.raises(ForebayError, match="under which URL") as raised:
        app.engine.client.create_http_management_payload("a")
    assert raised.value.code == "no_public_url"


# -- who may ----------------------------------------------------------------------------------------------------------


async def test_a_code_opens_its_instance_and_nothing_else(tmp_path: Path):
    async with opened(tmp_path, Keyed()) as app:
        mine, other = [(await app.http.post("/api/orchestrators/wait", headers={"X-Key": "a"})).json() for _ in range(2)]
        assert (await app.http.get(mine["statusQueryGetUri"])).status_code == 202
        code = mine["statusQueryGetUri"].rpartition("=")[2]
        foreign = re.sub("code=.*", f"code={code}", other["terminatePostUri"])
        assert (await app.http.post(foreign)).status_code == 401
        for wrong in (code[:-1], code + "A", "", "é"):
            assert (await app.http.get(f"{HUB}/instances/{mine['id']}", params={"code": wrong})).status_code == 401
        assert (await app.http.get(f"{HUB}/instances/nobody", params={"code": code})).status_code == 401
        for method, url in (("GET", f"{HUB}/instances"), ("DELETE", f"{HUB}/instances"), ("POST", "/api/orchestrators/wait")):
            asked = {"code": code, "createdTimeFrom": "2020-01-01T00:00:00Z"}
            assert (await app.http.request(method, url, params=asked)).status_code == 401
        assert (await app.http.post(mine["terminatePostUri"])).status_code == 202


async def test_who_may_only_look_gets_no_code(tmp_path: Path):
    async with opened(tmp_path, Keyed()) as app:
        identity = (await app.http.post("/api/orchestrators/wait", headers={"X-Key": "a"})).json()["id"]
        looked = await app.http.get(f"{HUB}/instances/{identity}", headers={"X-Key": "reader-a"})
        assert (looked.status_code, looked.headers["location"]) == (202, f"{BASE}{HUB}/instances/{identity}")
        assert (await app.http.post(f"{HUB}/instances/{identity}/terminate", headers={"X-Key": "reader-a"})).status_code == 403


async def test_what_a_guard_does_not_cover_is_not_there(tmp_path: Path):
    async with opened(tmp_path, Keyed()) as app:
        a, b = {"X-Key": "a"}, {"X-Key": "b"}
        assert (await app.http.post("/api/orchestrators/echo/one?timeout=20", headers=a, json=1)).status_code == 200
        await app.engine.client.start_new("versioned", "hidden", correlation=Correlation(id="c", project="a"))
        await app.end("hidden")
        for headers, identity in ((b, "one"), (a, "hidden"), (a, "nobody")):
            refused = await app.http.get(f"{HUB}/instances/{identity}", headers=headers)
            assert (refused.status_code, refused.json()["detail"]) == (404, f"there is no instance {identity!r}")
            for operation in ("terminate", "suspend", "resume", "rewind", "restart"):
                assert (await app.http.post(f"{HUB}/instances/{identity}/{operation}", headers=headers)).status_code == 404
            assert (await app.http.delete(f"{HUB}/instances/{identity}", headers=headers)).status_code == 404
        assert (await app.http.get(f"{HUB}/instances", headers=b, params={"project": "a"})).json() == []
        assert [each["instanceId"] for each in (await app.http.get(f"{HUB}/instances", headers=a)).json()] == ["one"]
        everything = {"createdTimeFrom": "2020-01-01T00:00:00Z"}
        assert (await app.http.delete(f"{HUB}/instances", headers=b, params=everything)).status_code == 404
        taken = await app.http.post("/api/orchestrators/echo/one", headers=b)
        assert (taken.status_code, taken.json()["code"]) == (409, "instance_exists")
        assert (await app.http.delete(f"{HUB}/instances", headers=a, params=everything)).json() == {"instancesDeleted": 1}


async def test_a_code_is_worth_nothing_for_the_same_id_in_another_project(tmp_path: Path):
    async with opened(tmp_path, Keyed()) as app:
        old = (await app.http.post("/api/orchestrators/wait/same", headers={"X-Key": "a"})).json()
        await app.http.post(old["terminatePostUri"])
        assert (await app.http.delete(old["purgeHistoryDeleteUri"])).status_code == 200
        assert (await app.http.post("/api/orchestrators/wait/same", headers={"X-Key": "b"})).status_code == 202
        assert (await app.http.get(old["statusQueryGetUri"])).status_code == 401


# -- Azure's own client, unmodified -----------------------------------------------------------------------------------


async def test_azures_client_walks_the_whole_api(tmp_path: Path):
    async with opened(tmp_path) as app, served(app.asgi) as url:
        app.engine.client.urls = ManagementUrls(url, SECRET)
        client = DurableOrchestrationClient(azure_bindings(url))

        started = await client.start_new("echo", client_input={"tokyo": [1, None]})
        await app.end(started)
        status = await client.get_status(started, show_history=True, show_history_output=True, show_input=True)
        assert (status.name, status.instance_id, status.runtime_status) == ("echo", started, OrchestrationRuntimeStatus.Completed)
        assert status.input_ == status.output == {"tokyo": [1, None]}
        assert status.custom_status == {"seen": {"tokyo": [1, None]}}
        assert status.created_time is not None
        assert status.created_time.tzinfo is not None
        assert await client.start_new("echo", "text", "a text") == "text"
        assert (await app.end("text")).output == "a text"
        with pytest.raises(Exception, match="there is no orchestrator 'nobody'"):
            await client.start_new("nobody")
        assert not await client.get_status("nobody")

        assert await client.start_new("wait", "waiting") == "waiting"
        await client.suspend("waiting", "a reason")
        assert (await client.get_status("waiting")).runtime_status is OrchestrationRuntimeStatus.Suspended
        await client.resume("waiting", "a reason")
        await client.raise_event("waiting", "go", {"approved": True})
        assert (await app.end("waiting")).output == {"approved": True}
        with pytest.raises(Exception, match="is gone"):
            await client.raise_event("waiting", "go", 1)
        with pytest.raises(Exception, match="No instance with ID nobody"):
            await client.raise_event("nobody", "go", 1)

        await client.start_new("break_once", "failing")
        assert (await app.end("failing")).runtime_status == "Failed"
        app.works.is_broken = False
        await client.rewind("failing", "mended")
        assert (await app.end("failing")).output == "mended"
        with pytest.raises(Exception, match="only supported on failed"):
            await client.rewind("failing", "again")

        await client.start_new("wait", "endless")
        await client.terminate("endless", "no more")
        assert (await client.get_status("endless")).output == "no more"
        restarted = await client.restart("text", restart_with_new_instance_id=True)
        assert set(restarted) == AZURE_PAYLOAD  # the body, in the real service too

        await app.end(restarted["id"])
        listed = await client.get_status_all()
        assert {each.instance_id for each in listed} == {started, "text", "waiting", "failing", "endless", restarted["id"]}
        since = datetime.now(UTC) - timedelta(hours=1)
        completed = await client.get_status_by(since, runtime_status=[OrchestrationRuntimeStatus.Terminated])
        assert [each.instance_id for each in completed] == ["endless"]
        assert [each.instance_id for each in await client.get_status_by(instance_id_prefix="fail")] == ["failing"]
        assert (await client.purge_instance_history("text")).instances_deleted == 1
        assert (await client.purge_instance_history("text")).instances_deleted == 0
        assert (await client.purge_instance_history_by(since)).instances_deleted == 5
        assert (await client.purge_instance_history_by(since)).instances_deleted == 0


async def test_azures_client_waits_for_the_end_or_hands_out_urls(tmp_path: Path):
    async with opened(tmp_path) as app, served(app.asgi) as url:
        client = DurableOrchestrationClient(azure_bindings(url))
        await app.ended("echo", [1], "done")
        done = await client.wait_for_completion_or_create_check_status_response(None, "done", 10, 5)
        assert (done.status_code, json.loads(done.get_body())) == (200, [1])
        await app.ended("break_once", None, "broken")
        broken = await client.wait_for_completion_or_create_check_status_response(None, "broken", 10, 5)
        assert (broken.status_code, json.loads(broken.get_body())["runtimeStatus"]) == (500, "Failed")
        await app.start("wait", None, "late")
        late = await client.wait_for_completion_or_create_check_status_response(None, "late", 2, 1)
        assert (late.status_code, json.loads(late.get_body())["id"]) == (202, "late")


async def test_each_url_works_as_it_is_returned(tmp_path: Path):
    async with opened(tmp_path, Keyed()) as app, served(app.asgi) as url, httpx.AsyncClient(trust_env=False) as http:
        app.engine.client.urls = ManagementUrls(url, SECRET)
        started = await http.post(f"{url}/api/orchestrators/wait", headers={"X-Key": "a"})
        payload = started.json()
        assert (await http.get(started.headers["location"])).status_code == 202
        assert (await http.post(payload["suspendPostUri"].format(text="rest"))).status_code == 202
        assert (await http.post(payload["resumePostUri"].format(text="go%20on"))).status_code == 202
        assert (await http.post(payload["sendEventPostUri"].format(eventName="go"), json=7)).status_code == 202
        assert (await app.end(payload["id"])).output == 7
        assert (await http.get(payload["statusQueryGetUri"])).json()["output"] == 7
        again = (await http.post(payload["restartPostUri"])).json()
        assert (await http.post(again["terminatePostUri"].format(text="enough"))).status_code == 202
        assert (await http.delete(again["purgeHistoryDeleteUri"])).json() == {"instancesDeleted": 1}
        app.works.is_broken = True
        failed = (await http.post(f"{url}/api/orchestrators/break_once", headers={"X-Key": "a"})).json()
        await app.end(failed["id"])
        app.works.is_broken = False
        assert (await http.post(failed["rewindPostUri"].format(text="mended"))).status_code == 202
        assert (await app.end(failed["id"])).output == "mended"


# -- what the documentation says --------------------------------------------------------------------------------------


async def test_the_application_of_the_documentation_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (Path(__file__).parents[2] / "docs/durable-http.md").read_text(encoding="utf-8")
    application, guard = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^curl (?:-X (\w+) )?'?(\S+?)'?(?: --json '?(.*?)'?)?$", page, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(application, names)
    exec(guard, names)
    async with names["lifespan"](names["app"]), httpx.AsyncClient(transport=httpx.ASGITransport(app=names["app"])) as http:
        for method, url, body in commands:
            answer = await http.request(method or "GET", url, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 202 if method else answer.status_code in (200, 202)
        done = await names["engine"].client.wait_for_completion("first", 20)
        assert done.output == ["Hello Ada!", "Hello Grace!"]
        guarded = FastAPI()
        guarded.include_router(durable_router(names["engine"].client, names["OneKey"]()))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=guarded), base_url="http://a") as stranger:
            assert (await stranger.get(f"{HUB}/instances")).status_code == 401
            assert (await stranger.get(f"{HUB}/instances", headers={"X-Key": "the key"})).status_code == 200
            assert (
                await stranger.get(names["engine"].client.create_http_management_payload("first")["statusQueryGetUri"])
            ).status_code == 200


def test_the_description_of_an_application_has_every_route(tmp_path: Path):
    app = FastAPI()
    app.include_router(durable_router(DurableEngine(Works().registry, tmp_path / "jobs.db").client))
    paths = app.openapi()["paths"]
    assert len(paths) == 12
    operations = [operation for path in paths.values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 14
    assert all(operation["description"] for operation in operations)


def test_the_engine_alone_loads_no_web_framework():
    program = "import sys, forebay.durable; print([each for each in ('fastapi', 'starlette', 'pydantic') if each in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
