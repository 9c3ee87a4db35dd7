"""Blobs over HTTP: conditions, ranges, and what a browser is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.http_api import Api, http_api

PATH = "/containers/archive/blobs/folder/a b.html"
CONTENT = b"<script>alert(1)</script>0123456789"


async def put(api: Api, content: bytes = CONTENT, path: str = PATH, **headers: str) -> str:
    """Store a blob; its ETag as the header has it."""
    answer = await api.client.put(path, content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["ETag"]


async def test_a_blob_comes_back_as_it_was_put(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        stored = await api.client.put(PATH, content=CONTENT)
        body = stored.json()
        assert (body["container"], body["name"], body["size_bytes"]) == ("archive", "folder/a b.html", len(CONTENT))
        assert stored.headers["ETag"] == f'"{body["etag"]}"'
        read = await api.client.get(PATH)
        assert (read.status_code, read.content) == (200, CONTENT)
        assert read.headers["ETag"] == stored.headers["ETag"]
        head = await api.client.head(PATH)
        assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(CONTENT)))
        assert (await api.client.delete(PATH)).status_code == 204
        gone = await api.client.get(PATH)
        assert (gone.status_code, gone.json()["code"]) == (404, "blob_not_found")
        assert (await api.client.head(PATH)).status_code == 404


async def test_stored_html_is_never_shown_in_the_origin_of_the_api(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await put(api, **{"Content-Type": "text/html"})
        read = await api.client.get(PATH)
        assert read.headers["Content-Type"] == "application/octet-stream"
        assert read.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20b.html"
        assert read.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in read.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("wanted", "expected", "content_range"),
    [
        ("bytes=0-3", CONTENT[:4], "bytes 0-3/35"),
        ("bytes=25-", CONTENT[25:], "bytes 25-34/35"),
        ("bytes=-10", CONTENT[-10:], "bytes 25-34/35"),
        ("bytes=30-1000", CONTENT[30:], "bytes 30-34/35"),
        ("bytes=-1000", CONTENT, "bytes 0-34/35"),
    ],
)
async def test_a_range_is_that_part(tmp_path: Path, wanted: str, expected: bytes, content_range: str) -> None:
    async with http_api(tmp_path) as api:
        await put(api)
        part = await api.client.get(PATH, headers={"Range": wanted})
        assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, expected, content_range)
        assert part.headers["Content-Length"] == str(len(expected))


@pytest.mark.parametrize("wanted", ["bytes=35-", "bytes=-0", "bytes=100-200"])
async def test_a_range_outside_is_refused_with_the_size(tmp_path: Path, wanted: str) -> None:
    async with http_api(tmp_path) as api:
        await put(api)
        answer = await api.client.get(PATH, headers={"Range": wanted})
        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
        assert answer.headers["Content-Range"] == "bytes */35"


async def test_an_empty_blob_can_be_read(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await put(api, b"")
        read = await api.client.get(PATH)
        assert (read.status_code, read.content) == (200, b"")


async def test_a_blob_larger_than_a_piece_comes_back_whole_and_in_parts(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    async with http_api(tmp_path) as api:
        await put(api, content)
        assert (await api.client.get(PATH)).content == content
        part = await api.client.get(PATH, headers={"Range": "bytes=100000-900000"})
        assert part.content == content[100_000:900_001]


async def test_conditions_of_a_read(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        etag = await put(api)
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            unchanged = await api.client.get(PATH, headers={"If-None-Match": known})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
        assert (await api.client.get(PATH, headers={"If-None-Match": '"other"'})).status_code == 200
        assert (await api.client.get(PATH, headers={"If-Match": etag})).status_code == 200
        assert (await api.client.get(PATH, headers={"If-Match": '"other"'})).status_code == 412
        assert (await api.client.get(PATH, headers={"If-Range": '"other"', "Range": "bytes=0-3"})).status_code == 200
        assert (await api.client.get(PATH, headers={"If-Range": etag, "Range": "bytes=0-3"})).status_code == 206


async def test_conditions_of_a_write(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        etag = await put(api, **{"If-None-Match": "*"})
        exists = await api.client.put(PATH, content=b"2", headers={"If-None-Match": "*"})
        assert (exists.status_code, exists.json()["code"]) == (409, "blob_exists")
        stale = await api.client.put(PATH, content=b"2", headers={"If-Match": '"other"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
        second = await put(api, b"2", **{"If-Match": etag})
        assert second != etag
        third = await put(api, b"3", **{"If-Match": second.strip('"')})  # as the JSON answer has it
        assert (await api.client.delete(PATH, headers={"If-Match": etag})).status_code == 412
        assert (await api.client.delete(PATH, headers={"If-Match": third})).status_code == 204


@pytest.mark.parametrize("headers", [{"If-None-Match": '"a"'}, {"If-Match": '"a", "b"'}])
async def test_a_condition_that_cannot_be_kept_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with http_api(tmp_path) as api:
        answer = await api.client.put(PATH, content=b"x", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_precondition")


async def test_a_blob_put_into_incoming_is_ingested(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        await put(api, b"# The spillway\n", "/containers/incoming/blobs/plans/dam.md")
        (listed,) = (await api.client.get("/documents")).json()["documents"]
        document = (await api.client.get(f"/documents/{listed['id']}", params={"wait_seconds": 30})).json()
        assert (document["name"], document["source"], document["status"]) == ("plans/dam.md", "incoming", "indexed")
        (hit,) = (await api.client.post("/search", json={"query": "spillway"})).json()["hits"]
        assert hit["document_id"] == document["id"]


async def test_a_container_is_listed_in_pages(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for name in ("b/2", "a", "b/1", "b/3"):
            await put(api, name.encode(), f"/containers/archive/blobs/{name}", **{"Content-Type": "text/x-name"})
        names: list[str] = []
        cursor = None
        while True:
            parameters = {"prefix": "b/", "limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await api.client.get("/containers/archive/blobs", params=parameters)).json()
            names += [blob["name"] for blob in page["blobs"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert names == ["b/1", "b/2", "b/3"]
        (blob,) = page["blobs"]
        assert set(blob) == {"name", "etag", "size_bytes", "content_type", "tier", "metadata", "tags", "last_modified"}
        assert (blob["size_bytes"], blob["content_type"], blob["tier"], blob["tags"]) == (3, "text/x-name", "hot", {})


async def test_unknown_containers_and_impossible_names_are_told_apart(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        for method in ("GET", "PUT", "DELETE"):
            answer = await api.client.request(method, "/containers/nowhere/blobs/a", content=b"x")
            assert (answer.status_code, answer.json()["code"]) == (404, "container_not_found")
        listed = await api.client.get("/containers/nowhere/blobs")
        assert (listed.status_code, listed.json()["code"]) == (404, "container_not_found")
        escaping = await api.client.put("/containers/archive/blobs/a%2F..%2F..%2Fb", content=b"x")
        assert (escaping.status_code, escaping.json()["code"]) == (422, "invalid_name")
        conflict_of = await put(api, b"x", "/containers/incoming/blobs/one.md")
        conflict = await api.client.put("/containers/incoming/blobs/one.md/two.md", content=b"x")
        assert conflict_of
        assert (conflict.status_code, conflict.json()["code"]) == (409, "name_conflict")
