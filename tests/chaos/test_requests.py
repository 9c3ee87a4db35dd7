"""Requests made up from the description of the API, valid and invalid ones, with keys of each scope and without one.

`make chaos` makes more of them (FOREBAY_TEST_REQUESTS, for each route, caller and kind); FOREBAY_TEST_REQUESTS_SEED makes others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from forebay.server.keys.key import SCOPES
from program import Program, eventually

EXAMPLE_COUNT = int(os.environ.get("FOREBAY_TEST_REQUESTS", "3"))
SEED = int(os.environ.get("FOREBAY_TEST_REQUESTS_SEED", "0"))
ANYWHERE = "anywhere"  # a key of all projects
CALLERS = (None, *SCOPES, ANYWHERE)
BEFORE_KEYS = {"unsupported_encoding", "body_too_large", "unknown_host", "invalid_encoding", "headers_too_large"}
REFUSALS = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "416", "422", "431"]
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server, its description, keys, and things that are there."""

    url: str
    schema: schemathesis.BaseSchema
    keys: dict[str | None, str | None]
    known: dict[str, str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    program = Program(tmp_path_factory.mktemp("served") / "data", environment={"FOREBAY_RATE_LIMIT": "0"})
    program.start()
    try:
        with program.client() as client:
            made = {scope: client.post("/keys", json={"name": scope, "scopes": [scope]}).json() for scope in (*SCOPES, "manage")}
            uploaded = client.post("/documents", params={"name": "known.md"}, content="# Water\n\nIt runs downhill.").json()
            eventually(lambda: client.get(f"/documents/{uploaded['id']}").json()["status"] == "indexed", "a document")
            assert client.put("/containers/archive/blobs/known", content="water").status_code == 201
            keys: dict[str | None, str | None] = {scope: made[scope]["key"] for scope in SCOPES}
            keys |= {None: None, ANYWHERE: client.headers["X-API-Key"]}
            config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}})
            schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json(), config=config)
            instance = client.post("/api/orchestrators/embeddings?timeout=30", json={"name": "known.md", "text": "water"}, timeout=60)
            assert instance.json() == {"ok": True, "id": "known.md"}
            (listed,) = client.get("/runtime/webhooks/durabletask/instances", params={"instanceIdPrefix": "", "top": 1}).json()
            known = {"document_id": uploaded["id"], "container": "archive", "name": "known", "key_id": made["manage"]["id"]}
            known |= {"instance_id": listed["instanceId"]}
            yield Served(url=str(client.base_url), schema=schema, keys=keys, known=known)
    finally:
        program.kill()


def operations(served: Served) -> list[APIOperation[Any, Any, Any, Any]]:
    return [found.ok() for found in served.schema.get_all_operations()]


@pytest.mark.parametrize("caller", CALLERS, ids=str)
def test_answers_are_as_the_description_has_them_and_keys_open_what_it_says(served: Served, caller: str | None) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for operation in operations(served):
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                if mode is schemathesis.GenerationMode.POSITIVE or operation.body or next(operation.iter_parameters(), None):
                    _try(served, session, operation, mode, caller)


def _try(
    served: Served,
    session: requests.Session,
    operation: APIOperation[Any, Any, Any, Any],
    mode: schemathesis.GenerationMode,
    caller: str | None,
) -> None:
    key = served.keys[caller]
    headers = {} if key is None else {"X-API-Key": key}
    known = {name: value for name, value in served.known.items() if f"{{{name}}}" in operation.path}
    cases = operation.as_strategy(mode) | operation.as_strategy(mode, path_parameters=known) if known else operation.as_strategy(mode)

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLE_COUNT,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=cases)
    def one(case: schemathesis.Case) -> None:
        for name in ("X-API-Key", "Authorization"):  # made up, too
            case.headers.pop(name, None)
        answer = case.call(base_url=served.url, session=session, headers=headers)
        case.validate_response(answer, checks=CHECKS, headers=headers)
        _check_key(operation, caller, answer)

    one()


def _check_key(operation: APIOperation[Any, Any, Any, Any], caller: str | None, answer: schemathesis.Response) -> None:
    """No key opens what the description says it does not; and none is refused what it is said to open."""
    security = operation.definition.raw.get("security")
    if security is None or operation.path == "/health":
        assert answer.status_code not in (401, 403)
        return
    is_problem = answer.headers.get("content-type") == ["application/problem+json"]
    if is_problem and answer.content and answer.json()["code"] in BEFORE_KEYS:
        return
    (needed,) = {scope for alternative in security for scopes in alternative.values() for scope in scopes} or {"any"}
    if caller is None:
        assert answer.status_code == 401
    elif needed != "any" and caller not in (needed, "admin", ANYWHERE):
        assert answer.status_code == 403
    else:
        assert answer.status_code != 401
        if answer.status_code == 403 and answer.content:
            assert answer.json()["code"] != "out_of_scope" or needed == "any"
