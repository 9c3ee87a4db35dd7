"""The index and the settings that it may be behind."""

from __future__ import annotations

import dataclasses

from fastapi import APIRouter, Response

from forebay.server.access import Accepting, GlobalAdministrator, PartsOf
from forebay.server.answers import json_answer
from forebay.server.shapes import IndexStateJson


def router() -> APIRouter:
    """The routes below `/reindex`."""
    routes = APIRouter(tags=["index"])
    routes.get("/reindex", response_model=IndexStateJson)(show_index_state)
    routes.post("/reindex", status_code=202, response_model=IndexStateJson, dependencies=[Accepting])(start_reindex)
    return routes


async def show_index_state(parts: PartsOf, caller: GlobalAdministrator) -> Response:
    """Say how far the index is from the settings, and how a re-index gets on."""
    return json_answer(IndexStateJson(**dataclasses.asdict(await parts.index.state())))


async def start_reindex(parts: PartsOf, caller: GlobalAdministrator) -> Response:
    """Bring the index to the settings, in the background.

    Documents that were cut under other settings are read again; texts get vectors of the configured model. Searches go by the
    old model until that is complete. One that is under way goes on, and a failed one begins again, embedding what is missing.
    """
    return json_answer(IndexStateJson(**dataclasses.asdict(await parts.index.reindex())), status=202)
