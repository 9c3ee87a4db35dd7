"""Dead letters: what failed for good, to look at, to replay, to put away."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime

from forebay.durable import LetterFilter
from forebay.errors import ForebayError
from forebay.server.access import Accepting, ManagerOf, PartsOf, ReadProject
from forebay.server.answers import json_answer
from forebay.server.bodies import typed_body
from forebay.server.dead_letter_shapes import (
    DeadLetterDetail,
    DeadLetterPage,
    LettersPurged,
    LettersReplayed,
    letter_detail,
    letter_json,
    letters_purged,
    letters_replayed,
)
from forebay.server.pages import LARGEST_LIMIT, Cursor, Limit, decode_cursor, encode_cursor, invalid_cursor
from forebay.server.parts import Parts

LARGEST_ID = 2**53 - 1  # that every JSON reader keeps exactly
REASON_LIMIT = 1000  # characters

Kind = Literal["activity", "orchestrator"]


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """Which open dead letters: all that fit."""

    kind: Kind | None = None
    name: str | None = None
    orchestrator: str | None = None
    code: str | None = None
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class ReplayWanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be replayed."""

    ids: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=LARGEST_ID)]], msgspec.Meta(max_length=LARGEST_LIMIT)] | None = None
    filter: Chosen | None = None
    dry_run: bool = False


class PurgeWanted(ReplayWanted, forbid_unknown_fields=True):
    """What is to be put away, and why."""

    reason: Annotated[str, msgspec.Meta(max_length=REASON_LIMIT)] = ""


LetterId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The dead letter's id.")]


def router() -> APIRouter:
    """The routes below `/deadletters`."""
    routes = APIRouter(tags=["dead letters"])
    routes.get("/deadletters", response_model=DeadLetterPage)(list_dead_letters)
    routes.post("/deadletters/replay", response_model=LettersReplayed, dependencies=[Accepting], openapi_extra=_documented(ReplayWanted))(
        replay_dead_letters
    )
    routes.post("/deadletters/purge", response_model=LettersPurged, dependencies=[Accepting], openapi_extra=_documented(PurgeWanted))(
        purge_dead_letters
    )
    routes.get("/deadletters/{letter_id}", response_model=DeadLetterDetail)(show_dead_letter)
    return routes


async def list_dead_letters(
    *,
    parts: PartsOf,
    project: ReadProject,
    kind: Annotated[Kind | None, Query(description="Only activities that failed, or orchestrators that failed of themselves.")] = None,
    name: Annotated[str | None, Query(description="Only this activity or orchestrator.")] = None,
    orchestrator: Annotated[str | None, Query(description="Only instances of this orchestrator.")] = None,
    code: Annotated[str | None, Query(description="Only with this code of error.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only what failed then or later.")] = None,
    status: Annotated[Literal["open", "replayed", "purged", "all"], Query(description="Only these.")] = "open",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List dead letters, newest first: those that are open, unless asked for others."""
    which = LetterFilter(
        kind=kind,
        name=name,
        orchestrator=orchestrator,
        code=code,
        since=since,
        status=None if status == "all" else status,
        projects=_projects(parts, project),
    )
    found, before = await parts.letters.list_letters(which, limit=limit, before=_before(cursor))
    page = DeadLetterPage(
        deadletters=[letter_json(each, parts.settings.default_project) for each in found],
        next_cursor=None if before is None else encode_cursor(str(before)),
    )
    return json_answer(page)


async def show_dead_letter(parts: PartsOf, project: ReadProject, letter_id: LetterId) -> Response:
    """Show a dead letter with the payload of what failed, and every try."""
    letter, tries = await parts.letters.show(letter_id, _within(parts, project))
    return json_answer(letter_detail(letter, tries, parts.settings.default_project))


async def replay_dead_letters(request: Request, parts: PartsOf, manager: ManagerOf) -> Response:
    """Do again what failed: for the `ids`, or for every open dead letter that the `filter` fits (`{}`: all of them).

    A file is ingested once more; any other orchestration that failed goes on from before its failure, and one that ended well all the
    same starts once more. A dead letter is replayed once: what fails again leaves another. `errors` says which stay open, and why.
    """
    wanted: ReplayWanted = await typed_body(request, ReplayWanted, page="/deadletters")
    which = _which(wanted, parts, manager.project)
    within = _within(parts, manager.project)
    report = await parts.letters.replay(which, by=manager.actor, dry_run=wanted.dry_run, within=within)
    return json_answer(letters_replayed(report, dry_run=wanted.dry_run))


async def purge_dead_letters(request: Request, parts: PartsOf, manager: ManagerOf) -> Response:
    """Put open dead letters away: those with these `ids`, or all that the `filter` fits. Who did so, and why, is kept."""
    wanted: PurgeWanted = await typed_body(request, PurgeWanted, page="/deadletters")
    which = _which(wanted, parts, manager.project)
    within = _within(parts, manager.project)
    report = await parts.letters.purge(which, by=manager.actor, reason=wanted.reason, dry_run=wanted.dry_run, within=within)
    return json_answer(letters_purged(report, dry_run=wanted.dry_run))


def _which(wanted: ReplayWanted, parts: Parts, project: str) -> list[int] | LetterFilter:
    chosen = wanted.filter
    if (wanted.ids is None) == (chosen is None):
        raise ForebayError(
            "invalid_request",
            f"expected either `ids` or `filter`, got {'neither' if chosen is None else 'both'}",
            hint="`filter`: {} means every open dead letter of the project; `dry_run`: true shows what would happen.",
            status=422,
        )
    if chosen is None:
        return wanted.ids or []
    return LetterFilter(
        kind=chosen.kind,
        name=chosen.name,
        orchestrator=chosen.orchestrator,
        code=chosen.code,
        since=chosen.since,
        projects=_projects(parts, project),
    )


def _within(parts: Parts, project: str) -> LetterFilter:
    return LetterFilter(status=None, projects=_projects(parts, project))


def _projects(parts: Parts, project: str) -> tuple[str | None, ...]:
    """What belongs to no project belongs to the default one."""
    return (project, None) if project == parts.settings.default_project else (project,)


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    text = decode_cursor(cursor)
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise invalid_cursor()
    return int(text)


def _documented(kind: type[ReplayWanted]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([kind], ref_template="#/{name}")
    body = dict(components[kind.__name__])
    body["properties"]["filter"] = {"anyOf": [components["Chosen"], {"type": "null"}]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}
