"""The management API over HTTP in the wire shape of Azure's Durable Functions, as a router for any FastAPI application."""

from forebay.durable.http.guard import Access, Beginning, Guard, Need
from forebay.durable.http.router import durable_router

__all__ = ["Access", "Beginning", "Guard", "Need", "durable_router"]
