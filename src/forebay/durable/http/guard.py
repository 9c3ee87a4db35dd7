"""Whom a router lets in, and what they may see and change."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request

from forebay.durable.instances.status import OrchestrationStatus
from forebay.values.correlation import Correlation

Need = Literal["read", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a request may see and change; without arguments everything."""

    project: str | None = None  # instances of this project alone
    names: frozenset[str] | None = None  # instances of these orchestrators alone

    def covers(self, instance: OrchestrationStatus) -> bool:
        """Whether an instance is among them."""
        return self.project in (None, instance.project) and (self.names is None or instance.name in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What an instance that a request asks for begins with."""

    value: Any  # its input
    correlation: Correlation | None = None  # what activities see as the current one; its project is that of the instance
    lane: str = ""


class Guard:
    """Lets everybody do everything, which is right where only trusted programs reach the application; derive from it elsewhere.

    Its methods refuse by raising, `HTTPException` or whatever the application answers.
    """

    async def admit(self, request: Request, need: Need) -> Access:
        """What a request may do that carries no code of an instance."""
        return Access()

    async def admit_by_code(self, request: Request, need: Need, instance: OrchestrationStatus) -> Access:
        """What a request may do that carries the code of this instance, and is about it."""
        return Access()

    async def begin(self, request: Request, access: Access, name: str, value: Any) -> Beginning:
        """Look at the input for a new instance of an orchestrator, before anything is recorded."""
        return Beginning(value=value)

    async def interruption(self) -> None:
        """Return when requests that wait for the end of an instance are to be answered at once, since the server stops."""
        await asyncio.Event().wait()
