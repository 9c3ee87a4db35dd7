"""Random work on the program, step by step, against a dictionary of what must be searchable.

`make chaos` takes more steps (FOREBAY_TEST_MACHINE_STEPS). A failing example is made small and printed as the calls that
reproduce it, with the seed; FOREBAY_TEST_MACHINE_SEED begins with another seed than 0.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from state_machine_model import (
    BINARY,
    CONTENTS,
    EMPTY,
    FOLDER,
    IGNORE_LINES,
    INCOMING,
    MARKERS,
    UPLOAD,
    File,
    Key,
    Link,
    Model,
)
from state_machine_worlds import PROJECT, ProcessDied, RealWorld, Seen, VirtualWorld, World

from forebay.catalog.queries import find_document
from forebay.errors import ForebayError
from forebay.intake.intake import Sender
from forebay.search.search import SearchRequest
from forebay.values.blob import BlobAddress

STEP_COUNT = int(os.environ.get("FOREBAY_TEST_MACHINE_STEPS", "5000"))
FIRST_SEED = int(os.environ.get("FOREBAY_TEST_MACHINE_SEED", "0"))
REAL_STEP_COUNT = 240
STEPS_OF_AN_EXAMPLE = 50
EXAMPLES_OF_A_SEED = 20

FILES = ("a.txt", "b.txt", "b.md", "z.bin", "sub/a.txt", "sub/b.md", "sub/deep/c.txt")
LINKS = ("l.txt", "sub/m.txt")
LINK_TARGETS = ("a.txt", "b.md", "sub/a.txt", "../b.txt", "l.txt", "sub/m.txt", "nowhere", "../elsewhere/away.txt", ".")
FOLDERS = ("sub", "top")
UPLOADS = ("u.txt", "v.md")
BLOBS = ("x.txt", "y.md", "in/w.txt")
GAPS_SECONDS = (0.0, 0.001, 0.05, 0.15, 0.3, 1.0)

SENDER = Sender(project=PROJECT, actor="machine", correlation_id="machine")

contents = st.sampled_from(list(CONTENTS.values()))
file_names = st.sampled_from(FILES)


def one_of_the(names: str) -> st.SearchStrategy[str]:
    """One of the names that a method of the machine lists now."""
    return st.runner().flatmap(lambda machine: st.sampled_from(getattr(machine, names)()))


class _EveryRule:
    def is_enabled(self, name: str) -> bool:
        return True


class Machine(RuleBasedStateMachine):
    """The rules; what they act on is a world."""

    world: World
    step_count: ClassVar[int] = 0  # of all examples

    def __init__(self) -> None:
        super().__init__()
        # hypothesis would leave most rules out of most examples, so that few would meet
        self._rules_strategy.enabled_rules_strategy = st.just(_EveryRule())
        self.model = Model()
        self.seen: Seen | None = None

    def teardown(self) -> None:
        if hasattr(self, "world"):
            has_failed = sys.exc_info()[0] is not None
            try:
                if not has_failed:
                    self.compare(is_complete=True)
            finally:
                self.world.close()

    def files(self) -> list[str]:
        return self.model.files()

    def links_and_files(self) -> list[str]:
        return sorted(self.model.folder)

    def folders(self) -> list[str]:
        return self.model.folders()

    def away(self) -> list[str]:
        return sorted(self.model.elsewhere)

    def blobs_there(self) -> list[str]:
        return [name for name in BLOBS if self.world.exists(self.world.incoming / name)]

    def call(self, work: Any) -> Any:
        return self.world.call(work)

    # -- the folder --------------------------------------------------------------------------------------------------

    @rule(name=file_names, data=contents)
    def write(self, name: str, data: bytes) -> None:
        """Write a file in place."""
        if isinstance(self.model.folder.get(name), Link):
            self.world.replace(self.world.folder / name, data)
        else:
            self.world.write(self.world.folder / name, data)
        self.model.put_file(name, data)

    @rule(name=file_names, first=contents, gap=st.sampled_from(GAPS_SECONDS), second=contents, is_back=st.booleans())
    def write_twice(self, name: str, first: bytes, gap: float, second: bytes, *, is_back: bool) -> None:
        """Edits that follow each other closely; the last may put back what was there."""
        before = self.model.folder.get(name)
        if is_back and isinstance(before, File):
            second = before.data
        self.write(name, first)
        self.world.passes(gap)
        self.write(name, second)

    @rule(name=file_names, data=contents)
    def replace(self, name: str, data: bytes) -> None:
        """Save a file by writing another and renaming it."""
        self.world.replace(self.world.folder / name, data)
        self.model.put_file(name, data)

    @precondition(links_and_files)
    @rule(name=one_of_the("links_and_files"))
    def remove(self, name: str) -> None:
        self.world.remove(self.world.folder / name)
        del self.model.folder[name]
        self.model.touch(name)

    @precondition(files)
    @rule(name=one_of_the("files"), new_name=file_names)
    def rename(self, name: str, new_name: str) -> None:
        """Rename a file, also onto another."""
        if name != new_name:
            self.world.rename(self.world.folder / name, self.world.folder / new_name)
            self.model.folder[new_name] = self.model.folder.pop(name)
            self.model.touch(name, new_name)

    @precondition(lambda self: len(self.files()) > 1)
    @rule(first=one_of_the("files"), second=one_of_the("files"))
    def swap(self, first: str, second: str) -> None:
        if first != second:
            world, there = self.world, self.world.elsewhere / "swapped"
            world.rename(world.folder / first, there)
            world.rename(world.folder / second, world.folder / first)
            world.rename(there, world.folder / second)
            folder = self.model.folder
            folder[first], folder[second] = folder[second], folder[first]
            self.model.touch(first, second)

    @precondition(folders)
    @rule(name=one_of_the("folders"), new_name=st.sampled_from(FOLDERS))
    def rename_folder(self, name: str, new_name: str) -> None:
        if name == new_name or self.model.below(new_name):
            return
        if self.world.exists(self.world.folder / new_name):
            self.world.remove(self.world.folder / new_name)  # folders that have become empty
        self.world.rename(self.world.folder / name, self.world.folder / new_name)
        for before in self.model.below(name):
            after = new_name + before[len(name) :]
            self.model.folder[after] = self.model.folder.pop(before)
            self.model.touch(before, after)

    @precondition(folders)
    @rule(name=one_of_the("folders"))
    def remove_folder(self, name: str) -> None:
        self.world.remove(self.world.folder / name)
        for each in self.model.below(name):
            del self.model.folder[each]
            self.model.touch(each)

    @precondition(files)
    @rule(name=one_of_the("files"), there=st.sampled_from(["away.txt", "gone.txt"]))
    def move_out(self, name: str, there: str) -> None:
        self.world.rename(self.world.folder / name, self.world.elsewhere / there)
        self.model.elsewhere[there] = self.model.folder.pop(name)
        self.model.touch(name)

    @precondition(away)
    @rule(there=one_of_the("away"), name=file_names)
    def move_in(self, there: str, name: str) -> None:
        self.world.rename(self.world.elsewhere / there, self.world.folder / name)
        self.model.folder[name] = self.model.elsewhere.pop(there)
        self.model.touch(name)

    @rule(folder=st.sampled_from(["", "sub/"]), lines=st.lists(st.sampled_from(sorted(IGNORE_LINES)), min_size=1, max_size=2))
    def write_gitignore(self, folder: str, lines: list[str]) -> None:
        name, data = f"{folder}.gitignore", "".join(f"{line}\n" for line in lines).encode()
        self.world.write(self.world.folder / name, data)
        self.model.put_file(name, data)

    @rule(name=st.sampled_from(LINKS), to=st.sampled_from(LINK_TARGETS))
    def link(self, name: str, to: str) -> None:
        self.world.link(self.world.folder / name, to)
        self.model.put_link(name, to)

    # -- uploads and blobs -------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(UPLOADS), data=contents)
    def upload(self, name: str, data: bytes) -> None:
        self._send((UPLOAD, name), data, lambda core: core.intake.upload(SENDER, name, pieces(data), None))

    @rule(name=st.sampled_from(BLOBS), data=contents)
    def put_blob(self, name: str, data: bytes) -> None:
        address = BlobAddress(container="incoming", name=name)
        self._send((INCOMING, name), data, lambda core: core.intake.put(SENDER, address, pieces(data), None))

    @rule(data=contents)
    def put_blob_elsewhere(self, data: bytes) -> None:
        """In other containers blobs are no documents."""
        address = BlobAddress(container="archive", name="kept.txt")
        self._unless_it_dies(lambda core: core.intake.put(SENDER, address, pieces(data), None))

    @rule(name=st.sampled_from(BLOBS), data=contents)
    def drop(self, name: str, data: bytes) -> None:
        """Another program writes into the intake container."""
        self.world.write(self.world.incoming / name, data)
        self.model.arrives((INCOMING, name), data)

    @precondition(blobs_there)
    @rule(name=one_of_the("blobs_there"))
    def take_away(self, name: str) -> None:
        """Another program removes what it has dropped."""
        self.world.remove(self.world.incoming / name)
        self.model.is_taken_away((INCOMING, name))

    @rule(name=st.sampled_from(BLOBS))
    def delete_blob(self, name: str) -> None:
        """A client deletes a blob of the intake container, if it is still there."""
        try:
            self.call(lambda core: core.adapters.blobs.delete(BlobAddress(container="incoming", name=name)))
        except ForebayError as error:
            assert error.code == "blob_not_found"
            return
        except ProcessDied:
            pass
        self.model.is_taken_away((INCOMING, name))

    @precondition(lambda self: self.seen is not None and self.seen.documents)
    @rule(data=st.data())
    def delete_document(self, data: st.DataObject) -> None:
        """A client deletes a document that it has seen."""
        assert self.seen is not None
        key = data.draw(st.sampled_from(sorted(self.seen.documents)))
        identity = self.seen.documents[key].id
        try:
            document = self.call(
                lambda core: core.adapters.database.readers.run(lambda connection: find_document(connection, identity, PROJECT))
            )
        except ProcessDied:
            return
        is_sure = self._unless_it_dies(lambda core: core.intake.delete(SENDER, document))
        if key[0] == FOLDER:
            self.model.delete_by_api(key[1], is_newest=document.blob.etag == self._etag(key[1]), is_sure=is_sure)
        else:
            self.model.is_deleted(key, is_sure=is_sure and key[1] not in self.blobs_there())

    def _etag(self, name: str) -> str | None:
        """How the program knows a file of the folder as it is now."""
        found = self.model.led_to(name) if name in self.model.folder else None
        if found is None:
            return None
        etag = self.world.etag(self.world.folder / name, is_followed=found.problem is None)
        return f"{found.problem}:{etag}" if found.problem else etag

    def _send(self, key: Key, data: bytes, work: Any) -> None:
        self.model.arrives(key, data, is_sure=self._unless_it_dies(work))

    def _unless_it_dies(self, work: Any) -> bool:
        try:
            self.call(work)
        except ProcessDied:
            return False
        return True

    # -- time, ends and looks ----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(GAPS_SECONDS))
    def time_passes(self, seconds: float) -> None:
        self.world.passes(seconds)

    @rule(gap=st.sampled_from(GAPS_SECONDS))
    def restart(self, gap: float) -> None:
        """Stop the program and start it again, a while after the last change."""
        self.world.passes(gap)
        self.world.restart()

    @rule(marker=st.sampled_from(MARKERS), mode=st.sampled_from(["text", "vector", "hybrid"]))
    def search_meanwhile(self, marker: str, mode: Any) -> None:
        """Whatever is going on: what is found says what was asked for."""
        request = SearchRequest(query=marker, project=PROJECT, mode=mode, k=50)
        try:
            hits = self.call(lambda core: core.search.search(request)).hits
        except ProcessDied:
            return
        assert mode != "text" or all(marker in hit.text for hit in hits)

    @rule(is_complete=st.sampled_from([False, False, True]))
    def catch_up(self, *, is_complete: bool) -> None:
        """Wait until the watcher has told everything, or for the next complete comparison of the sources, and compare."""
        self.compare(is_complete=is_complete)

    @rule(name=file_names, data=contents)
    def write_and_catch_up(self, name: str, data: bytes) -> None:
        """Let there be something that is indexed, often."""
        self.write(name, data)
        self.compare(is_complete=False)

    def compare(self, *, is_complete: bool) -> None:
        """What is searchable equals the model, nothing is damaged, and the counts balance."""
        seen = self.world.settled(lambda seen: not self.model.differences(seen.answers, is_complete=is_complete), is_complete=is_complete)
        differences = self.model.differences(seen.answers, is_complete=is_complete)
        assert not differences, differences
        self.model.settle(seen.answers, is_complete=is_complete)
        self.seen = seen
        summary = seen.summary
        assert summary["in_flight"] == 0
        assert sum(summary["outcomes"].values()) == summary["arrivals"]
        current = [document for document in seen.documents.values() if document.chunk_count]
        assert summary["documents"] == len(current)
        assert summary["chunks"] == sum(document.chunk_count for document in current)
        self._compare_proofs(seen)
        self._compare_blobs(seen)
        self._compare_searches(seen, is_complete=is_complete)

    def _compare_proofs(self, seen: Seen) -> None:
        found = self.call(lambda core: core.index())["problems"]
        # somebody took the only copy of a blob away that had been read already
        without_blob = {
            document.id
            for (source, name), document in seen.documents.items()
            if source == INCOMING and document.status == "indexed" and document.blob.container == "incoming"
            if not self.world.exists(self.world.incoming / name)
        }
        # a link whose target has changed is looked at again by the next complete comparison
        late = {document.id for (source, name), document in seen.documents.items() if source == FOLDER and name in self.model.late}
        unreadable = {problem["document_id"] for problem in found if problem["code"] == "blob_unreadable"}
        assert unreadable - late == without_blob, found
        assert [problem for problem in found if problem["code"] != "blob_unreadable"] == []
        assert self.call(lambda core: core.history())["problems"] == []

    def _compare_blobs(self, seen: Seen) -> None:
        """What has been handled has left the intake container; what was refused stays."""
        for blob in self.call(lambda core: core.adapters.blobs.list("incoming", limit=1000)):
            name = blob.address.name
            answer = seen.answers.get((INCOMING, name))
            is_refused = answer is None or answer[0] != "indexed" if name in BLOBS else blob.size_bytes in (len(EMPTY), len(BINARY))
            assert is_refused, f"{name} is left in the intake container: {answer}"

    def _compare_searches(self, seen: Seen, *, is_complete: bool) -> None:
        for marker in MARKERS:
            request = SearchRequest(query=marker, project=PROJECT, mode="text", k=50)
            hits = self.call(lambda core, request=request: core.search.search(request)).hits
            expected = {seen.documents[key].id for key, (_, text) in seen.answers.items() if text is not None and marker in text}
            assert {hit.document_id for hit in hits} == expected, f"what is found for {marker}"
        if is_complete:
            request = SearchRequest(query="water of the mill", project=PROJECT, mode="vector", k=1000)
            hits = self.call(lambda core: core.search.search(request)).hits
            assert len(hits) == seen.summary["chunks"]


class VirtualMachine(Machine):
    """On virtual files and time, where processes also die."""

    world: VirtualWorld

    @initialize(seed=st.integers(0, 1 << 32))
    def begin(self, seed: int) -> None:
        self.world = VirtualWorld(seed)

    @rule(
        kind=st.sampled_from(["before_commit", "after_commit", "file_operation"]),
        count=st.one_of(st.integers(0, 8), st.integers(9, 60)),
    )
    def crash(self, kind: str, count: int) -> None:
        """The process dies now, or in the middle of what comes."""
        self.world.crash_after(kind, count)


class RealMachine(Machine):
    """In a real folder, with threads, notifications and worker processes."""

    world: RealWorld

    @initialize()
    def begin(self) -> None:
        self.world = RealWorld()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """A body as it comes in."""
    yield data[: len(data) // 2]
    yield data[len(data) // 2 :]


def count_steps(machine: type[Machine]) -> type[Machine]:
    """The same machine, counting the steps that all its examples take."""

    class Counted(machine):  # type: ignore[misc, valid-type]
        step_count = 0

        def check_invariants(self, *arguments: Any, **named: Any) -> Any:
            Counted.step_count += 1
            return super().check_invariants(*arguments, **named)

    Counted.__name__ = Counted.__qualname__ = machine.__name__
    return Counted


def run_machine(machine: type[Machine], seed: int, *, example_count: int, steps: int, phases: tuple[Phase, ...] = tuple(Phase)) -> int:
    """Run examples of a machine, all decided by `seed`; the number of their steps."""
    counted = count_steps(machine)
    counted._hypothesis_internal_use_seed = seed
    run_state_machine_as_test(
        counted,
        settings=settings(
            max_examples=example_count,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
        _min_steps=steps // 2,
    )
    return counted.step_count


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Every crash is logged, thousands of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_whatever_happens_what_is_searchable_is_what_the_model_says() -> None:
    seed, step_count = FIRST_SEED, 0
    while step_count < STEP_COUNT:
        print(f"seed {seed}, after {step_count} steps")  # shown when it fails
        step_count += run_machine(VirtualMachine, seed, example_count=EXAMPLES_OF_A_SEED, steps=STEPS_OF_AN_EXAMPLE)
        seed += 1


BREAKS = {
    "a file that has gone is forgotten": ("forebay.intake.places.Place.absence_deletes", property(lambda _: False)),
    "an edit of the same size is skipped": ("forebay.effects.FileStat.etag", property(lambda stat: f"{stat.size_bytes:x}-{stat.inode:x}")),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_the_machine_notices_a_broken_program(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the check."""
    monkeypatch.setattr(*BREAKS[broken])
    with pytest.raises(AssertionError, match="expected"):
        run_machine(VirtualMachine, 1, example_count=40, steps=STEPS_OF_AN_EXAMPLE, phases=(Phase.generate,))


def test_the_same_holds_in_a_real_folder() -> None:
    step_count, seed = 0, FIRST_SEED
    while step_count < REAL_STEP_COUNT:
        step_count += run_machine(RealMachine, seed, example_count=2, steps=40)
        seed += 1


def test_a_blob_that_is_being_replaced_is_not_taken_for_the_older_one_that_a_look_has_found() -> None:
    """Found by the machine after 98,000 steps: the arrival is recorded before the blob becomes visible."""
    for seed in range(1, 40):
        machine = VirtualMachine()
        machine.begin(seed=seed)
        machine.put_blob(data=CONTENTS["empty"], name="in/w.txt")
        machine.catch_up(is_complete=False)
        machine.restart(gap=0.0)
        machine.drop(data=CONTENTS["amber"], name="x.txt")
        machine.put_blob(data=CONTENTS["amber"], name="in/w.txt")
        machine.catch_up(is_complete=False)
        machine.teardown()
