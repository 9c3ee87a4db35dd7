"""A few orchestrators for tests that manage their instances from outside."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from forebay.durable import OrchestrationContext, Registry, Task
from forebay.errors import ForebayError

Steps = Generator[Task[Any], Any, Any]


@dataclass(kw_only=True)
class Works:
    """Orchestrators, and what happens outside of them."""

    registry: Registry = field(default_factory=Registry)
    is_broken: bool = True

    def __post_init__(self) -> None:
        registry = self.registry

        @registry.orchestrator
        def echo(context: OrchestrationContext) -> Steps:
            context.set_custom_status({"seen": context.get_input()})
            return (yield context.call_activity("say", context.get_input()))

        @registry.orchestrator
        def wait(context: OrchestrationContext) -> Steps:
            return (yield context.wait_for_external_event("go"))

        @registry.orchestrator
        def break_once(context: OrchestrationContext) -> Steps:
            return (yield context.call_activity("break_while_broken", None))

        @registry.orchestrator(version="1.0")
        def versioned(context: OrchestrationContext) -> Steps:
            yield context.call_activity("say", 1)
            return "one"

        def newer(context: OrchestrationContext) -> Steps:
            yield context.call_activity("say", 2)
            return "two"

        newer.__name__ = "versioned"
        registry.orchestrator(version="2.0")(newer)

        @registry.activity
        async def say(value: Any) -> Any:
            return value

        @registry.activity
        async def break_while_broken(value: Any) -> str:
            if self.is_broken:
                raise ForebayError("broken", "it is broken")
            return "mended"
