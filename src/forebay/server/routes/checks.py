"""Proofs that what is stored is what it should be."""

from __future__ import annotations

from fastapi import APIRouter, Response

from forebay.server.access import Accepting, GlobalAdministrator, PartsOf
from forebay.server.answers import json_answer
from forebay.server.shapes import CheckResult


def router() -> APIRouter:
    """The routes below `/check`. Looking is GET; whatever changes something is POST."""
    routes = APIRouter(tags=["checks"])
    routes.get("/check/index", response_model=CheckResult)(check_index)
    routes.post("/check/index/repair", response_model=CheckResult, dependencies=[Accepting])(repair_index)
    routes.get("/check/history", response_model=CheckResult)(check_history)
    routes.post("/check/history/repair", response_model=CheckResult, dependencies=[Accepting])(repair_history)
    return routes


async def check_index(parts: PartsOf, caller: GlobalAdministrator) -> Response:
    """Compare chunks, full text and vectors with the stored files."""
    return json_answer(await parts.checks.index(repair=False))


async def repair_index(parts: PartsOf, caller: GlobalAdministrator) -> Response:
    """The same, mending what can be mended; the answer tells what is still wrong."""
    return json_answer(await parts.checks.index(repair=True))


async def check_history(parts: PartsOf, caller: GlobalAdministrator) -> Response:
    """Compare documents and versions with the events that tell of them."""
    return json_answer(await parts.checks.history(repair=False))


async def repair_history(parts: PartsOf, caller: GlobalAdministrator) -> Response:
    """The same, mending what can be mended; the answer tells what is still wrong."""
    return json_answer(await parts.checks.history(repair=True))
