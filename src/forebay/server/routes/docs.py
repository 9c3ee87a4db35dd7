"""The description of the API for people; its form for programs is `/openapi.json`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from forebay.server.docs_page import docs_page

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


def router() -> APIRouter:
    """`GET /docs`."""
    routes = APIRouter(tags=["health"])
    routes.get("/docs", response_class=HTMLResponse)(docs)
    return routes


async def docs(request: Request) -> HTMLResponse:
    """Every route, parameter, answer and error on one page, without scripts and without the internet."""
    return HTMLResponse(docs_page(request.app.openapi()), headers=_HEADERS)
