"""What every blob store must do, as tests.

Subclass `BlobStoreContract` in a test module and give it a `store` fixture: an open store whose containers `incoming`,
`processed`, `failed` and `archive` are empty. It needs pytest with pytest-asyncio in auto mode.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from forebay.blobs.port import PIECE_BYTES, BlobStore
from forebay.errors import ForebayError
from forebay.values.blob import ARCHIVE, FAILED, INCOMING, PROCESSED, Blob, BlobAddress

ODD_NAMES = (
    "a.txt",
    "a",
    "dir/sub dir/ü ß 日本.txt",
    "new\nline.txt",
    "100%/%2F%2f..txt",
    "-leading.txt",
    ".hidden",
    "+plus/=equals",
    "tab\tand\x1b[31mescape",
    "e\u0301 and \u00e9",
    "quote'\"\\back",
    "UPPER/lower",
    "x" * 255,
    "/".join(["日" * 80] * 4),
    "." * 3 + "y" * 200 + "..",
)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Content that arrives in these pieces."""
    for part in parts:
        yield part


async def put(store: BlobStore, address: BlobAddress, content: bytes = b"content") -> Blob:
    """Put `content` without further conditions."""
    return await store.put(address, pieces(content), max_bytes=1 << 30)


async def content_of(store: BlobStore, address: BlobAddress) -> bytes:
    """The whole content, streamed."""
    _, stream = await store.get(address)
    return b"".join([piece async for piece in stream])


def blob(name: str, container: str = PROCESSED) -> BlobAddress:
    """An address."""
    return BlobAddress(container=container, name=name)


@contextmanager
def refused(code: str, status: int) -> Iterator[None]:
    """Expect a `ForebayError` with this code and HTTP status."""
    with pytest.raises(ForebayError) as caught:
        yield
    assert (caught.value.code, caught.value.status) == (code, status)


@contextmanager
def suppress_change() -> Iterator[None]:
    """Let reading end early because the blob was written again."""
    try:
        yield
    except ForebayError as error:
        if (error.code, error.retryable) != ("blob_changed", True):
            raise


class BlobStoreContract:
    """The behaviour that callers rely on, whichever adapter they got."""

    async def test_the_four_containers_exist_from_the_start(self, store: BlobStore) -> None:
        assert {INCOMING, PROCESSED, FAILED, ARCHIVE} <= set(await store.containers())

    @pytest.mark.parametrize("container", [INCOMING, PROCESSED])
    @pytest.mark.parametrize("name", ODD_NAMES)
    async def test_a_blob_of_any_name_is_read_back_listed_and_deleted(self, store: BlobStore, container: str, name: str) -> None:
        address = blob(name, container)
        put_blob = await store.put(address, pieces(b"one ", b"", b"two"), max_bytes=7)
        assert put_blob.size_bytes == 7
        assert await store.head(address) == put_blob
        assert await content_of(store, address) == b"one two"
        assert await store.read(address, limit_bytes=3) == (put_blob, b"one")
        assert await store.list(container, limit=10) == [put_blob]
        await store.delete(address)
        assert await store.list(container, limit=10) == []
        with refused("blob_not_found", 404):
            await store.head(address)

    @pytest.mark.parametrize(
        "name",
        ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "nul\0", "x" * 1025, "é" * 513, "lone\udc80surrogate"],
    )
    @pytest.mark.parametrize("container", [INCOMING, PROCESSED])
    async def test_a_name_that_means_something_else_to_a_path_is_invalid(self, store: BlobStore, container: str, name: str) -> None:
        address = blob(name, container)
        with refused("invalid_name", 422):
            await put(store, address)
        with refused("invalid_name", 422):
            await store.head(address)
        with refused("invalid_name", 422):
            await store.move(blob("a"), address, etag="1")

    @pytest.mark.parametrize("container", ["nowhere", "", ".", "..", "../incoming", ".uploads", "a/b", "x\0"])
    async def test_an_unknown_container_is_not_found(self, store: BlobStore, container: str) -> None:
        with refused("container_not_found", 404):
            await put(store, blob("a", container))
        with refused("container_not_found", 404):
            await store.head(blob("a", container))
        with refused("container_not_found", 404):
            await store.list(container, limit=1)

    async def test_every_operation_on_a_missing_blob_says_so(self, store: BlobStore) -> None:
        with refused("blob_not_found", 404):
            await store.get(blob("a"))
        with refused("blob_not_found", 404):
            await store.read(blob("a"), limit_bytes=1)
        with refused("blob_not_found", 404):
            await store.delete(blob("a"))
        with refused("blob_not_found", 404):
            await store.move(blob("a"), blob("b"), etag="1")

    async def test_content_type_and_metadata_come_back_from_head_get_and_list(self, store: BlobStore) -> None:
        address = blob("a")
        metadata = {"key": "välue", "empty": ""}
        expected = await store.put(address, pieces(b"x"), max_bytes=1, content_type="text/plain; charset=latin-1", metadata=metadata)
        assert expected.content_type == "text/plain; charset=latin-1"
        assert expected.metadata == metadata
        assert await store.head(address) == expected
        assert (await store.get(address))[0] == expected
        assert await store.list(PROCESSED, limit=1) == [expected]

    async def test_a_replaced_blob_does_not_inherit_content_type_and_metadata(self, store: BlobStore) -> None:
        await store.put(blob("a"), pieces(b"x"), max_bytes=1, content_type="text/plain", metadata={"k": "v"})
        await put(store, blob("a"), b"x")
        found = await store.head(blob("a"))
        assert (found.content_type, found.metadata) == (None, {})

    async def test_metadata_over_8_kilobytes_is_too_large(self, store: BlobStore) -> None:
        await store.put(blob("fits"), pieces(b""), max_bytes=1, metadata={"k": "v" * (8 * 1024 - 1)})
        with refused("too_large", 413):
            await store.put(blob("a"), pieces(b""), max_bytes=1, metadata={"k": "v" * 8 * 1024})

    async def test_content_over_the_limit_is_too_large_and_leaves_what_was_there(self, store: BlobStore) -> None:
        await put(store, blob("a"), b"old")
        with refused("too_large", 413):
            await store.put(blob("a"), pieces(b"1234", b"5"), max_bytes=4)
        assert await content_of(store, blob("a")) == b"old"
        await store.put(blob("a"), pieces(b"1234"), max_bytes=4)

    async def test_content_that_breaks_off_leaves_nothing(self, store: BlobStore) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * (PIECE_BYTES + 1)
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await store.put(blob("a"), broken(), max_bytes=1 << 30)
        assert await store.list(PROCESSED, limit=1) == []

    async def test_writing_again_changes_the_etag_even_with_the_same_bytes(self, store: BlobStore) -> None:
        etags = [(await put(store, blob("a"), content)).etag for content in [b"A", b"B"] * 20]
        assert len(set(etags)) == 40

    async def test_if_none_match_puts_only_where_nothing_is(self, store: BlobStore) -> None:
        await store.put(blob("a"), pieces(b"1"), max_bytes=1, if_none_match=True)
        with refused("blob_exists", 409):
            await store.put(blob("a"), pieces(b"2"), max_bytes=1, if_none_match=True)
        assert await content_of(store, blob("a")) == b"1"

    async def test_if_match_puts_only_over_that_etag(self, store: BlobStore) -> None:
        with refused("precondition_failed", 412):
            await store.put(blob("a"), pieces(b"1"), max_bytes=1, if_match="*")
        first = await put(store, blob("a"), b"1")
        second = await store.put(blob("a"), pieces(b"2"), max_bytes=1, if_match=first.etag)
        with refused("precondition_failed", 412):
            await store.put(blob("a"), pieces(b"3"), max_bytes=1, if_match=first.etag)
        assert (await store.head(blob("a"))).etag == second.etag
        await store.put(blob("a"), pieces(b"4"), max_bytes=1, if_match="*")

    @pytest.mark.parametrize("container", [INCOMING, PROCESSED])
    async def test_of_concurrent_conditional_puts_exactly_one_wins(self, store: BlobStore, container: str) -> None:
        async def outcome(number: int, if_match: str | None) -> str:
            try:
                content = pieces(str(number).encode())
                await store.put(blob("a", container), content, max_bytes=9, if_match=if_match, if_none_match=if_match is None)
            except ForebayError as error:
                return error.code
            return "won"

        outcomes = await asyncio.gather(*(outcome(number, None) for number in range(8)))
        assert sorted(outcomes) == ["blob_exists"] * 7 + ["won"]
        etag = (await store.head(blob("a", container))).etag
        outcomes = await asyncio.gather(*(outcome(number, etag) for number in range(8)))
        assert sorted(outcomes) == ["precondition_failed"] * 7 + ["won"]

    async def test_before_visible_gets_the_final_blob_and_hash_while_nothing_is_visible(self, store: BlobStore) -> None:
        seen: list[tuple[Blob, str, list[Blob]]] = []

        async def look(coming: Blob, sha256: str) -> None:
            seen.append((coming, sha256, await store.list(PROCESSED, limit=1)))

        put_blob = await store.put(blob("a"), pieces(b"con", b"tent"), max_bytes=9, content_type="text/plain", before_visible=look)
        assert seen == [(put_blob, hashlib.sha256(b"content").hexdigest(), [])]
        assert await store.head(blob("a")) == put_blob

    async def test_nothing_becomes_visible_when_before_visible_raises(self, store: BlobStore) -> None:
        async def refuse(coming: Blob, sha256: str) -> None:
            raise LookupError

        old = await store.put(blob("a"), pieces(b"old"), max_bytes=9, content_type="text/plain")
        for name in ("a", "b"):
            with pytest.raises(LookupError):
                await store.put(blob(name), pieces(b"new"), max_bytes=9, before_visible=refuse)
        assert await store.list(PROCESSED, limit=9) == [old]
        assert await content_of(store, blob("a")) == b"old"

    async def test_before_visible_is_not_called_for_a_put_whose_condition_fails(self, store: BlobStore) -> None:
        async def never(coming: Blob, sha256: str) -> None:
            pytest.fail("a refused put must not record an arrival")

        await put(store, blob("a"))
        with refused("blob_exists", 409):
            await store.put(blob("a"), pieces(b""), max_bytes=9, if_none_match=True, before_visible=never)

    async def test_a_put_that_is_cancelled_after_its_commit_becomes_visible(self, store: BlobStore) -> None:
        committed, go_on = asyncio.Event(), asyncio.Event()

        async def commit(coming: Blob, sha256: str) -> None:
            committed.set()
            await go_on.wait()

        request = asyncio.create_task(store.put(blob("a"), pieces(b"x"), max_bytes=1, before_visible=commit))
        await committed.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        go_on.set()
        with refused("blob_exists", 409):
            await store.put(blob("a"), pieces(b"y"), max_bytes=1, if_none_match=True)
        assert await content_of(store, blob("a")) == b"x"

    @pytest.mark.parametrize(("offset", "length"), [(0, None), (0, 1), (1, 3), (9, None), (9, 50), (3, 0), (0, 10)])
    async def test_a_range_gives_exactly_its_bytes(self, store: BlobStore, offset: int, length: int | None) -> None:
        content = b"0123456789"
        await put(store, blob("a"), content)
        found, stream = await store.get(blob("a"), offset=offset, length=length)
        assert found.size_bytes == 10
        assert b"".join([piece async for piece in stream]) == content[offset:][:length]

    @pytest.mark.parametrize(("size", "offset"), [(10, 10), (10, 11), (10, -1), (0, 1)])
    async def test_a_range_beyond_the_end_is_not_satisfiable(self, store: BlobStore, size: int, offset: int) -> None:
        await put(store, blob("a"), b"x" * size)
        with refused("range_not_satisfiable", 416):
            await store.get(blob("a"), offset=offset)

    async def test_an_empty_blob_streams_nothing(self, store: BlobStore) -> None:
        await put(store, blob("a"), b"")
        assert await content_of(store, blob("a")) == b""

    async def test_large_content_streams_in_bounded_pieces(self, store: BlobStore) -> None:
        content = bytes(range(256)) * (5 * PIECE_BYTES // 512)
        await store.put(blob("a"), pieces(content[:100_000], content[100_000:]), max_bytes=len(content))
        _, stream = await store.get(blob("a"), offset=1)
        read = [piece async for piece in stream]
        assert b"".join(read) == content[1:]
        assert max(map(len, read)) <= PIECE_BYTES
        assert len(read) >= 3

    async def test_a_stream_never_mixes_two_versions(self, store: BlobStore) -> None:
        await put(store, blob("a"), b"1" * 3 * PIECE_BYTES)
        _, stream = await store.get(blob("a"))
        first = await anext(stream)
        await put(store, blob("a"), b"2" * 3 * PIECE_BYTES)
        rest = b""
        with suppress_change():
            async for piece in stream:
                rest += piece
        assert set(first + rest) == {ord("1")}

    @pytest.mark.parametrize("container", [INCOMING, PROCESSED])
    async def test_lists_are_in_byte_order_of_names_and_paged(self, store: BlobStore, container: str) -> None:
        names = [
            "a-b",
            "a/b",
            "a/b-c",
            "a/b/d/c",
            "a0",
            "B",
            "Z/z",
            "aa",
            "é",
            "\uffee",
            "\U0001f600",
            "~",
            "a.b",
            "a b",
        ]
        names = [name for name in names if name != "a/b"] if container == INCOMING else names  # there `a/b` is a folder
        for name in names:
            await put(store, blob(name, container))
        expected = sorted(names, key=str.encode)
        assert [found.address.name for found in await store.list(container, limit=100)] == expected
        paged: list[str] = []
        while page := await store.list(container, after=paged[-1] if paged else "", limit=3):
            paged += [found.address.name for found in page]
        assert paged == expected

    @pytest.mark.parametrize("container", [INCOMING, PROCESSED])
    @pytest.mark.parametrize("prefix", ["", "d", "dir/", "dir/s", "dir/sub/", "dir/sub/x.txt", "dir/sub/x.txt/", "nothing", "e/"])
    async def test_a_prefix_is_a_prefix_of_the_name_not_of_the_path(self, store: BlobStore, container: str, prefix: str) -> None:
        names = ["dir/sub/x.txt", "dir/s", "dir2", "e/f", "dir-x/y", "ef"]
        for name in names:
            await put(store, blob(name, container))
        expected = sorted(name for name in names if name.startswith(prefix))
        assert [found.address.name for found in await store.list(container, prefix=prefix, limit=9)] == expected
        after = [name for name in expected if name > "dir/s"]
        assert [found.address.name for found in await store.list(container, prefix=prefix, after="dir/s", limit=9)] == after

    async def test_a_delete_with_another_etag_is_refused(self, store: BlobStore) -> None:
        old = await put(store, blob("a"), b"1")
        new = await put(store, blob("a"), b"2")
        with refused("precondition_failed", 412):
            await store.delete(blob("a"), if_match=old.etag)
        await store.delete(blob("a"), if_match=new.etag)

    async def test_a_move_keeps_everything_but_the_address(self, store: BlobStore) -> None:
        source, target = blob("in/a.txt", INCOMING), blob("in/a.txt")
        before = await store.put(source, pieces(b"x"), max_bytes=1, content_type="text/plain", metadata={"k": "v"})
        after = await store.move(source, target, etag=before.etag)
        assert (after.address, after.etag, after.size_bytes) == (target, before.etag, 1)
        assert (after.content_type, after.metadata) == ("text/plain", {"k": "v"})
        assert await store.head(target) == after
        assert await content_of(store, target) == b"x"
        with refused("blob_not_found", 404):
            await store.head(source)

    async def test_a_move_that_is_done_already_is_done(self, store: BlobStore) -> None:
        moved = await put(store, blob("a", INCOMING))
        first = await store.move(blob("a", INCOMING), blob("b"), etag=moved.etag)
        assert await store.move(blob("a", INCOMING), blob("b"), etag=moved.etag) == first

    async def test_a_move_repeated_after_a_newer_arrival_leaves_that_alone(self, store: BlobStore) -> None:
        moved = await put(store, blob("a", INCOMING), b"1")
        await store.move(blob("a", INCOMING), blob("b"), etag=moved.etag)
        newer = await put(store, blob("a", INCOMING), b"2")
        await store.move(blob("a", INCOMING), blob("b"), etag=moved.etag)
        assert (await store.head(blob("a", INCOMING))).etag == newer.etag

    async def test_a_newer_arrival_is_not_moved(self, store: BlobStore) -> None:
        old = await put(store, blob("a", INCOMING), b"1")
        await put(store, blob("a", INCOMING), b"2")
        with refused("precondition_failed", 412):
            await store.move(blob("a", INCOMING), blob("b"), etag=old.etag)
        assert await content_of(store, blob("a", INCOMING)) == b"2"
        assert await store.list(PROCESSED, limit=1) == []

    async def test_a_move_never_overwrites_a_different_blob(self, store: BlobStore) -> None:
        moved = await put(store, blob("a", INCOMING), b"1")
        await put(store, blob("b"), b"2")
        with refused("blob_exists", 409):
            await store.move(blob("a", INCOMING), blob("b"), etag=moved.etag)
        assert await content_of(store, blob("a", INCOMING)) == b"1"
        assert await content_of(store, blob("b")) == b"2"

    async def test_a_move_onto_itself_changes_nothing(self, store: BlobStore) -> None:
        put_blob = await put(store, blob("a"))
        assert await store.move(blob("a"), blob("a"), etag=put_blob.etag) == put_blob
        assert await content_of(store, blob("a")) == b"content"

    async def test_opposite_moves_at_once_do_not_wait_for_each_other(self, store: BlobStore) -> None:
        one, two = await put(store, blob("a"), b"1"), await put(store, blob("b"), b"2")
        moves = [store.move(blob("a"), blob("b"), etag=one.etag), store.move(blob("b"), blob("a"), etag=two.etag)]
        results = await asyncio.wait_for(asyncio.gather(*moves, return_exceptions=True), timeout=30)
        assert [getattr(result, "code", None) for result in results] == ["blob_exists", "blob_exists"]
