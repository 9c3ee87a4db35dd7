"""Orchestrators that nobody would write: a small language, its interpreter, which is an orchestrator, and a grammar for hypothesis.

A program is a list of statements:

    ["yield", task]                        wait for it and note its result
    ["race", [task, ...], cancels, [body]] wait for the first; perhaps cancel the timers that lost; go on with the body of the winner
    ["try", body, handler]                 note the text of a failure, then the handler
    ["finally", body, clean-up]
    ["repeat", times, body]
    ["again", number]                      wait for a task that was waited for before
    ["status", value]
    ["ids"]                                note new ids and the time
    ["raise", text]
    ["return"]
    ["continue", "return" | "wait" | "fail"]   continue as new while rounds are left, and what is done after that

and a task one of

    ["call" | "retry" | "child" | "retried child", tries that fail, attempts], ["timer", seconds], ["event", name],
    ["all" | "any", task, ...], ["old", number]: one that was waited for before
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from tests.oracle.lockstep import Event
from tests.oracle.orchestrators import Context, Steps, Task, call, child, retried, retried_child, timer
from tests.oracle.world import TICK_US

CALLS = {"call": call, "child": child}
RETRIED = {"retry": retried, "retried child": retried_child}

# -- the interpreter ----------------------------------------------------------------------------------------------------


@dataclass
class Memory:
    """What a running program remembers."""

    context: Context
    program: list[Any]
    rounds: int  # that may follow
    noted: list[Any] = field(default_factory=list)
    leaves: list[Task] = field(default_factory=list)  # that have been waited for
    call_count: int = 0


def interpret(context: Context) -> Steps:
    """Run the program of the input: `{"program": ..., "rounds": ...}`; gives what was noted."""
    value = context.get_input()
    memory = Memory(context, value["program"], value["rounds"])
    yield from run(memory, memory.program)
    return memory.noted


def run(memory: Memory, body: list[Any]) -> Iterator[Any]:
    """Run statements; gives whether the program is over."""
    for statement in body:
        if (yield from step(memory, statement)):
            return True
    return False


def step(memory: Memory, statement: list[Any]) -> Iterator[Any]:
    context, (kind, *rest) = memory.context, statement
    if kind == "yield":
        memory.noted.append(plain((yield build(memory, rest[0], Yielded()))))
    elif kind == "race":
        return (yield from race(memory, *rest))
    elif kind == "try":
        try:
            return (yield from run(memory, rest[0]))
        except Exception as error:
            memory.noted.append(str(error))
            return (yield from run(memory, rest[1]))
    elif kind == "finally":
        is_let_go = False
        try:
            return (yield from run(memory, rest[0]))
        except GeneratorExit:
            is_let_go = True  # its instance is replayed or forgotten: nothing is to be done
            raise
        finally:
            if not is_let_go:
                yield from run(memory, rest[1])
    elif kind == "repeat":
        for _ in range(rest[0]):
            if (yield from run(memory, rest[1])):
                return True
    elif kind == "again":
        if memory.leaves:
            task = memory.leaves[rest[0] % len(memory.leaves)]
            memory.noted.append(["again", plain((yield task))])
    elif kind == "status":
        context.set_custom_status(rest[0])
    elif kind == "ids":
        memory.noted.append([context.new_uuid(), str(context.new_guid()), context.current_utc_datetime.isoformat()])
    elif kind == "raise":
        raise ValueError(rest[0])
    elif kind == "continue" and memory.rounds > 0:
        context.continue_as_new({"program": memory.program, "rounds": memory.rounds - 1})
        if rest[0] == "wait":
            yield build(memory, ["call", 0, 1], Yielded())
        if rest[0] == "fail":
            raise ValueError("after all")
        return True
    return kind == "return"


def race(memory: Memory, tasks: list[Any], cancels: bool, bodies: list[Any]) -> Iterator[Any]:
    yielded = Yielded()
    built = [build(memory, task, yielded) for task in tasks]
    winner = yield memory.context.task_any(built)
    # the host of `library.py` hands an early event over a moment later than it could
    have_ended = None if yielded.has_event else [task.is_completed for task in built]
    memory.noted.append([built.index(winner), plain(winner), have_ended])
    for task in built:
        if cancels and hasattr(task, "cancel") and not task.is_completed:
            task.cancel()
            memory.leaves.remove(task)  # it would be waited for in vain
    return (yield from run(memory, bodies[built.index(winner) % len(bodies)]))


@dataclass
class Yielded:
    """What is in a task that is being built."""

    leaves: list[Task] = field(default_factory=list)
    has_event: bool = False


def build(memory: Memory, description: list[Any], yielded: Yielded) -> Task:
    """A task as described; where the libraries are known to differ (`differences.py`), a call in its place.

    That is: the same task twice in one group, and a group of tasks that have all ended, and not all well. And since an early event waits in
    the model's host until its reader waits for it, which is later than it could be: two events in one group, or one beside a task that has
    ended, so that the orchestrator goes on before the event is there.
    """
    context, (kind, *rest) = memory.context, description
    if kind in ("all", "any"):
        children = [build(memory, each, yielded) for each in rest]
        if kind == "any":
            return context.task_any(children)
        if all(child.is_completed for child in children) and any(failure(child) is not None for child in children):
            children.append(build(memory, ["call", 0, 1], yielded))
        return context.task_all(children)
    if kind == "old":
        free = [leaf for leaf in memory.leaves if leaf not in yielded.leaves and not (yielded.has_event and leaf.is_completed)]
        if free:
            yielded.leaves.append(free[rest[0] % len(free)])
            return yielded.leaves[-1]
    leaf = build_leaf(memory, description, yielded)
    memory.leaves.append(leaf)
    yielded.leaves.append(leaf)
    return leaf


def build_leaf(memory: Memory, description: list[Any], yielded: Yielded) -> Task:
    context, (kind, *rest) = memory.context, description
    if kind == "timer":
        return timer(context, rest[0])
    if kind == "event" and not yielded.has_event and not any(each.is_completed for each in yielded.leaves):
        yielded.has_event = True
        return context.wait_for_external_event(rest[0])
    key = f"{memory.rounds}.{memory.call_count}"
    memory.call_count += 1
    if kind in RETRIED:
        return RETRIED[kind](context, key, fails=rest[0], attempts=rest[1])
    return CALLS.get(kind, call)(context, key, fails=rest[0] if kind in CALLS else 0)


def plain(value: Any) -> Any:
    """A result as JSON: the winner of a race, which is a task, by its own result or the text of its failure."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not hasattr(value, "is_completed"):
        return value
    error = failure(value)
    return {"result": plain(value.result)} if error is None else {"failed": str(error)}


def failure(task: Task) -> Exception | None:
    """Of a task of either library."""
    return task.result if isinstance(task.result, Exception) else None


# -- the grammar --------------------------------------------------------------------------------------------------------

Draw = Callable[[st.SearchStrategy[Any]], Any]

LEAF_KINDS = st.sampled_from([*CALLS, *RETRIED, "call", "timer", "event", "event", "old"])
FAILING_TRIES = st.sampled_from([0, 0, 0, 0, 1, 2])
ATTEMPTS = st.integers(1, 3)
SECONDS = st.sampled_from([-3, 0, 2, 5, 11, 30, 47.5])
NAMES = st.sampled_from("aab")
NUMBERS = st.integers(0, 5)
GROUP_DEPTHS = st.sampled_from([0, 0, 0, 1, 1, 2])
GROUP_KINDS = st.sampled_from(["all", "all", "any"])
GROUP_SIZES = st.integers(1, 3)
SIMPLE_KINDS = st.sampled_from(["yield"] * 8 + ["again"] * 3 + ["status", "ids", "continue", "raise", "return"])
NESTED_KINDS = st.sampled_from(["race", "race", "try", "try", "finally", "repeat", "reminders"])
AFTER_CONTINUE = st.sampled_from(["return", "return", "wait", "fail"])
STATUSES = st.sampled_from(["busy", 1, {"of": [2]}])
DEPTH = 3  # of bodies in bodies
TICKS = st.integers(0, 64 * 90)


def draw_task(draw: Draw, depth: int) -> list[Any]:
    if depth > 0:
        return [draw(GROUP_KINDS), *(draw_task(draw, draw(st.integers(0, depth - 1))) for _ in range(draw(GROUP_SIZES)))]
    kind = draw(LEAF_KINDS)
    if kind == "timer":
        return [kind, draw(SECONDS)]
    if kind == "event":
        return [kind, draw(NAMES)]
    return [kind, draw(NUMBERS)] if kind == "old" else [kind, draw(FAILING_TRIES), draw(ATTEMPTS)]


def draw_statement(draw: Draw, depth: int) -> list[Any]:
    if depth > 0 and draw(st.booleans()):
        kind = draw(NESTED_KINDS)
        if kind == "race":
            tasks = [draw_task(draw, draw(GROUP_DEPTHS)) for _ in range(draw(GROUP_SIZES))]
            return [kind, tasks, draw(st.booleans()), [draw_body(draw, depth - 1) for _ in range(draw(st.integers(1, 2)))]]
        if kind == "reminders":
            wait = ["race", [["event", draw(NAMES)], ["timer", draw(SECONDS)]], draw(st.booleans()), [[["return"]], []]]
            return ["repeat", draw(st.integers(1, 3)), [wait]]
        if kind == "repeat":
            return [kind, draw(st.integers(1, 3)), draw_body(draw, depth - 1)]
        return [kind, draw_body(draw, depth - 1), draw_body(draw, depth - 1)]
    kind = draw(SIMPLE_KINDS)
    if kind == "yield":
        return [kind, draw_task(draw, draw(GROUP_DEPTHS))]
    arguments = {"again": NUMBERS, "status": STATUSES, "raise": st.just("gave up"), "continue": AFTER_CONTINUE}
    return [kind, draw(arguments[kind])] if kind in arguments else [kind]


def draw_body(draw: Draw, depth: int) -> list[Any]:
    return [draw_statement(draw, depth) for _ in range(draw(st.integers(1, 3)))]


@st.composite
def inputs(draw: Draw) -> dict[str, Any]:
    """What `interpret` takes."""
    return {"program": [draw_statement(draw, DEPTH) for _ in range(draw(st.integers(1, 6)))], "rounds": draw(st.integers(0, 2))}


@st.composite
def events(draw: Draw) -> list[Event]:
    return [(draw(TICKS) * TICK_US, draw(NAMES), draw(NUMBERS)) for _ in range(draw(st.integers(0, 5)))]
