"""Errors as problem details."""

from __future__ import annotations

import json

import pytest

from forebay.errors import ForebayError
from forebay.server.problems import FieldProblem, internal_error, problem


def test_a_problem_has_the_pinned_fields() -> None:
    answer = problem(ForebayError("too_hot", "expected cold, got hot", hint="Cool it.", status=409))
    assert (answer.status_code, answer.media_type) == (409, "application/problem+json")
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "expected cold, got hot",
        "code": "too_hot",
        "hint": "Cool it.",
    }


def test_fields_to_blame_are_listed() -> None:
    answer = problem(ForebayError("invalid", "no", status=422), [FieldProblem(index=3, field="name", reason="missing")])
    assert json.loads(bytes(answer.body))["errors"] == [{"index": 3, "field": "name", "reason": "missing"}]


@pytest.mark.parametrize(("status", "has_it"), [(503, True), (429, True), (500, False), (404, False), (409, False)])
def test_when_to_try_again_is_said_where_it_helps(status: int, has_it: bool) -> None:
    answer = problem(ForebayError("busy", "no", status=status))
    assert ("Retry-After" in answer.headers) == has_it
    if has_it:
        assert int(answer.headers["Retry-After"]) > 0


def test_a_full_disk_is_tried_again_later_than_a_full_queue() -> None:
    full, busy = (problem(ForebayError(code, "no", status=503)).headers["Retry-After"] for code in ("disk_full", "busy"))
    assert int(full) > int(busy)


@pytest.mark.parametrize(("asked_seconds", "header"), [(0.2, "1"), (12.1, "13"), (60.0, "60")])
def test_a_measured_pause_goes_before_the_usual_one(asked_seconds: float, header: str) -> None:
    refused = ForebayError("backlog_full", "no", retryable=True, status=503, retry_after_seconds=asked_seconds)
    assert problem(refused).headers["Retry-After"] == header


def test_how_to_authenticate_is_said_with_401_only() -> None:
    assert problem(ForebayError("invalid_key", "no", status=401)).headers["WWW-Authenticate"].startswith("Bearer")
    assert "WWW-Authenticate" not in problem(ForebayError("forbidden", "no", status=403)).headers


@pytest.mark.parametrize("status", [400, 401, 404, 405, 408, 409, 412, 413, 415, 416, 421, 422, 429, 431, 500, 503])
def test_every_status_in_use_has_a_title(status: int) -> None:
    assert json.loads(bytes(problem(ForebayError("x", "y", status=status)).body))["title"]


def test_a_bug_tells_nothing_of_itself() -> None:
    assert internal_error().status == 500
