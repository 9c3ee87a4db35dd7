from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forebay.blobs.directory import DirectoryBlobStore
from forebay.blobs.upload import Upload
from forebay.effects import DiskFiles, Effects, FileStat, FileWriter, real_effects
from forebay.errors import ForebayError
from forebay.testing.blob_contract import blob, content_of, pieces, put, refused
from forebay.values.blob import INCOMING, PROCESSED, Blob


class RecordingFiles(DiskFiles):
    """The disk, with every change written down and a place to fail."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.fail: Callable[[str, Path], None] = lambda step, path: None

    def _step(self, step: str, path: Path) -> None:
        self.fail(step, path)
        self.steps.append(f"{step} {path.parent.name}")

    def create(self, path: Path) -> FileWriter:
        self._step("create", path)
        return RecordingWriter(self, path, super().create(path))

    def rename(self, source: Path, target: Path, *, replace: bool) -> FileStat:
        self._step("rename", target)
        found = super().rename(source, target, replace=replace)
        self.fail("renamed", target)
        return found

    def remove(self, path: Path) -> None:
        self._step("remove", path)
        super().remove(path)


class RecordingWriter:
    def __init__(self, files: RecordingFiles, path: Path, writer: FileWriter) -> None:
        self._files = files
        self._path = path
        self._writer = writer

    def write(self, data: bytes) -> None:
        self._files.fail("write", self._path)
        self._writer.write(data)

    def close(self) -> None:
        self._files._step("fsync", self._path)
        self._writer.close()

    def abandon(self) -> None:
        self._files.fail("abandon", self._path)
        self._writer.abandon()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "containers"


@pytest.fixture
def files() -> RecordingFiles:
    return RecordingFiles()


@pytest.fixture
async def effects(files: RecordingFiles) -> AsyncIterator[Effects]:
    effects = replace(real_effects(), files=files)
    yield effects
    effects.blocking.close()


@pytest.fixture
async def store(root: Path, effects: Effects) -> AsyncIterator[DirectoryBlobStore]:
    store = DirectoryBlobStore(root, effects)
    await store.open()
    yield store
    await store.close()


def private_files(root: Path) -> list[str]:
    return sorted(path.name for folder in (".uploads", ".metadata") for path in (root / folder).iterdir())


async def test_content_is_on_stable_storage_before_the_arrival_is_recorded_and_visible_after(
    store: DirectoryBlobStore, files: RecordingFiles
) -> None:
    async def commit(coming: Blob, sha256: str) -> None:
        files.steps.append("commit")

    files.steps.clear()
    await store.put(blob("a", INCOMING), pieces(b"x"), max_bytes=9, content_type="text/plain", before_visible=commit)
    assert files.steps == [
        "create .uploads",
        "fsync .uploads",
        "create .metadata",
        "fsync .metadata",
        "commit",
        "rename incoming",
    ]


@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename"])
@pytest.mark.parametrize("folder", [".uploads", ".metadata", INCOMING])
async def test_a_failing_disk_leaves_the_old_blob_and_nothing_private(
    root: Path, store: DirectoryBlobStore, files: RecordingFiles, step: str, folder: str
) -> None:
    old = await store.put(blob("a", INCOMING), pieces(b"old"), max_bytes=9, content_type="text/old")
    kept = private_files(root)
    reached = False

    def fail(failing: str, path: Path) -> None:
        nonlocal reached
        if failing == step and path.parent.name == folder:
            reached = True
            raise OSError(errno.ENOSPC, "no space left")

    files.fail = fail
    request = store.put(blob("a", INCOMING), pieces(b"new"), max_bytes=9, content_type="text/new")
    if (step == "rename") == (folder == INCOMING):
        with pytest.raises(ForebayError) as caught:
            await request
        assert (caught.value.code, caught.value.status, caught.value.retryable) == ("disk_full", 503, True)
        assert reached
        assert await store.list(INCOMING, limit=9) == [old]
        assert await content_of(store, blob("a", INCOMING)) == b"old"
        assert private_files(root) == kept
    else:
        await request
        assert not reached


class Crash(BaseException):
    """The machine stops: nothing after it runs, also no cleaning up."""


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "renamed"])
async def test_after_a_crash_at_any_step_a_blob_is_whole_or_not_there(
    root: Path, effects: Effects, files: RecordingFiles, step: str
) -> None:
    store = DirectoryBlobStore(root, effects)
    await store.open()
    crashed = False

    def crash(failing: str, path: Path) -> None:
        nonlocal crashed
        crashed = crashed or (failing == step and path.parent.name in {".uploads", INCOMING})
        if crashed:
            raise Crash

    files.fail = crash
    with pytest.raises(Crash):
        await put(store, blob("a", INCOMING), b"x" * 600_000)
    files.fail = lambda step, path: None
    again = DirectoryBlobStore(root, effects)
    await again.open()
    assert list((root / ".uploads").iterdir()) == []
    listed = await again.list(INCOMING, limit=9)
    assert [found.size_bytes for found in listed] == ([600_000] if step == "renamed" else [])


async def test_a_crash_between_linking_and_unlinking_is_finished_by_repeating_the_move(root: Path, store: DirectoryBlobStore) -> None:
    moved = await put(store, blob("a", INCOMING))
    os.link(root / INCOMING / "a", root / PROCESSED / "b")
    assert (await store.move(blob("a", INCOMING), blob("b"), etag=moved.etag)).etag == moved.etag
    assert await store.list(INCOMING, limit=9) == []
    assert await content_of(store, blob("b")) == b"content"


async def test_a_file_replaced_between_the_look_and_the_move_is_put_back(
    root: Path, store: DirectoryBlobStore, files: RecordingFiles
) -> None:
    old = await put(store, blob("a", INCOMING), b"old")

    def replace_it(step: str, path: Path) -> None:
        if step == "rename" and path.parent.name == PROCESSED:
            newer = root / "newer"
            newer.write_bytes(b"newer")
            newer.replace(root / INCOMING / "a")

    files.fail = replace_it
    with refused("precondition_failed", 412):
        await store.move(blob("a", INCOMING), blob("b"), etag=old.etag)
    assert await content_of(store, blob("a", INCOMING)) == b"newer"
    assert await store.list(PROCESSED, limit=9) == []


async def test_if_none_match_holds_against_a_file_that_another_program_drops_meanwhile(root: Path, store: DirectoryBlobStore) -> None:
    async def drop(coming: Blob, sha256: str) -> None:
        (root / INCOMING / "a").write_bytes(b"theirs")

    with refused("blob_exists", 409):
        await store.put(blob("a", INCOMING), pieces(b"ours"), max_bytes=9, if_none_match=True, before_visible=drop)
    assert await content_of(store, blob("a", INCOMING)) == b"theirs"
    assert private_files(root) == []


async def test_a_file_that_any_program_drops_into_the_intake_container_is_a_blob(root: Path, store: DirectoryBlobStore) -> None:
    (root / INCOMING / "contracts").mkdir()
    (root / INCOMING / "contracts" / "a.txt").write_bytes(b"dropped")
    os.utime(root / INCOMING / "contracts" / "a.txt", ns=(0, 2**62))
    (found,) = await store.list(INCOMING, limit=9)
    assert (found.address, found.size_bytes, found.content_type) == (blob("contracts/a.txt", INCOMING), 7, None)
    assert await content_of(store, found.address) == b"dropped"


async def test_a_name_that_is_a_folder_of_another_conflicts_only_in_the_intake_container(store: DirectoryBlobStore) -> None:
    await put(store, blob("a", INCOMING))
    await put(store, blob("b/c", INCOMING))
    for name in ("a/b", "a/b/c", "b"):
        with refused("name_conflict", 409):
            await put(store, blob(name, INCOMING))
    moved = await put(store, blob("x"))
    with refused("name_conflict", 409):
        await store.move(blob("x"), blob("a/b", INCOMING), etag=moved.etag)
    for name in ("a", "a/b", "a/b/c"):
        await put(store, blob(name))


async def test_a_name_whose_blobs_below_are_gone_can_be_put_again(store: DirectoryBlobStore) -> None:
    await put(store, blob("a/b/c", INCOMING))
    await store.delete(blob("a/b/c", INCOMING))
    await put(store, blob("a", INCOMING))
    assert [found.address.name for found in await store.list(INCOMING, limit=9)] == ["a"]


async def test_a_drop_folder_outlives_its_last_file(root: Path, store: DirectoryBlobStore) -> None:
    moved = await put(store, blob("drop/a", INCOMING))
    await store.move(blob("drop/a", INCOMING), blob("a"), etag=moved.etag)
    assert (root / INCOMING / "drop").is_dir()


async def test_conflicting_names_that_appear_at_once_never_both_record_an_arrival(store: DirectoryBlobStore) -> None:
    recorded: list[str] = []
    started = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(coming: Blob, sha256: str) -> None:
        recorded.append(coming.address.name)
        started.set()
        await go_on.wait()

    first = asyncio.create_task(store.put(blob("a/b", INCOMING), pieces(b""), max_bytes=1, before_visible=slow))
    await started.wait()
    with refused("name_conflict", 409):
        await asyncio.wait_for(store.put(blob("a", INCOMING), pieces(b""), max_bytes=1, before_visible=slow), timeout=30)
    go_on.set()
    await first
    assert recorded == ["a/b"]


async def test_a_symlink_is_never_followed_in_either_direction(root: Path, tmp_path: Path, store: DirectoryBlobStore) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / INCOMING / "link").symlink_to(outside / "secret")
    (root / INCOMING / "folder").symlink_to(outside)
    (root / "linked").symlink_to(outside)
    for name in ("link", "folder/secret"):
        for request in (store.head, store.get, store.delete):
            with refused("blob_not_found", 404):
                await request(blob(name, INCOMING))
        with refused("blob_not_found", 404):
            await store.read(blob(name, INCOMING), limit_bytes=9)
        with refused("blob_not_found", 404):
            await store.move(blob(name, INCOMING), blob("x"), etag="1")
        with refused("name_conflict", 409):
            await put(store, blob(name, INCOMING))
    with refused("name_conflict", 409):
        await put(store, blob("folder/new", INCOMING))
    with refused("container_not_found", 404):
        await store.head(blob("secret", "linked"))
    assert await store.list(INCOMING, limit=9) == []
    assert [path.name for path in outside.iterdir()] == ["secret"]


async def test_pipes_sockets_and_directories_are_no_blobs(root: Path, store: DirectoryBlobStore) -> None:
    os.mkfifo(root / INCOMING / "pipe")
    (root / INCOMING / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(root / INCOMING, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    for name in ("pipe", "folder", "socket"):
        with refused("blob_not_found", 404):
            await store.get(blob(name, INCOMING))
        with refused("blob_not_found", 404):
            await store.head(blob(name, INCOMING))
    assert await store.list(INCOMING, limit=9) == []


async def test_names_that_are_not_utf8_are_counted_instead_of_listed(root: Path, store: DirectoryBlobStore) -> None:
    (root / INCOMING / "good").write_bytes(b"")
    (root / INCOMING / os.fsdecode(b"bad\xff")).write_bytes(b"")
    (root / INCOMING / os.fsdecode(b"folder\xff")).mkdir()
    (root / INCOMING / os.fsdecode(b"folder\xff") / "below").write_bytes(b"")
    (root / PROCESSED / os.fsdecode(b"bad\xff")).write_bytes(b"")
    assert [found.address.name for found in await store.list(INCOMING, limit=9)] == ["good"]
    assert await store.list(PROCESSED, limit=9) == []
    assert await store.unlisted_count() == 2


async def test_a_root_below_a_symlink_works(tmp_path: Path, effects: Effects) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = DirectoryBlobStore(tmp_path / "link" / "containers", effects)
    await store.open()
    await put(store, blob("a"))
    assert await content_of(store, blob("a")) == b"content"


async def test_the_private_directories_are_no_containers(store: DirectoryBlobStore) -> None:
    assert await store.containers() == ["archive", "failed", "incoming", "processed"]


async def test_another_intake_container_maps_names_to_paths(root: Path, effects: Effects) -> None:
    store = DirectoryBlobStore(root, effects, intake_container="inbox")
    await store.open()
    await put(store, blob("a/b", "inbox"))
    await put(store, blob("a/b", INCOMING))
    assert (root / "inbox" / "a" / "b").is_file()
    assert (root / INCOMING / "a%2Fb").is_file()


async def test_deleting_and_replacing_leave_no_sidecar(root: Path, store: DirectoryBlobStore) -> None:
    for _ in range(3):
        await store.put(blob("a"), pieces(b"x"), max_bytes=1, content_type="text/plain")
    assert len(private_files(root)) == 1
    await store.delete(blob("a"))
    assert private_files(root) == []


async def test_a_sidecar_cut_short_is_ignored(root: Path, store: DirectoryBlobStore) -> None:
    put_blob = await store.put(blob("a"), pieces(b"x"), max_bytes=1, content_type="text/plain")
    (root / ".metadata" / f"{put_blob.etag}.json").write_bytes(b'{"content_ty')
    assert (await store.head(blob("a"))).content_type is None


async def test_a_file_without_permission_is_unreadable(store: DirectoryBlobStore, files: RecordingFiles, monkeypatch: Any) -> None:
    await put(store, blob("a", INCOMING))

    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "read", denied)
    with refused("unreadable", 403):
        await store.read(blob("a", INCOMING), limit_bytes=1)


async def test_a_put_cancelled_while_a_write_is_running_leaves_nothing(
    root: Path, store: DirectoryBlobStore, files: RecordingFiles
) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def wait(step: str, path: Path) -> None:
        if step == "write":
            writing.set()
            go_on.wait(30)

    async def content() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        await asyncio.Event().wait()

    files.fail = wait
    request = asyncio.create_task(store.put(blob("a", INCOMING), content(), max_bytes=1 << 30))
    await asyncio.to_thread(writing.wait, 30)
    request.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert private_files(root) == []
    assert await store.list(INCOMING, limit=9) == []


def test_a_write_that_comes_after_its_upload_was_discarded_makes_no_file(tmp_path: Path) -> None:
    for written in (b"", b"x"):
        upload = Upload(DiskFiles(), tmp_path / "upload")
        if written:
            upload.write(written)
        upload.discard()
        upload.write(b"late")
        assert list(tmp_path.iterdir()) == []


async def test_a_hundred_uploads_at_once_all_arrive(store: DirectoryBlobStore) -> None:
    await asyncio.gather(*(put(store, blob(f"{number % 7}/{number}", INCOMING), str(number).encode()) for number in range(100)))
    found = await store.list(INCOMING, limit=1000)
    assert len(found) == 100
    for one in found[::10]:
        assert await content_of(store, one.address) == one.address.name.partition("/")[2].encode()
