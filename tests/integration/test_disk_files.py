from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from forebay.effects import DiskFiles

files = DiskFiles()


def write(path: Path, content: bytes = b"content") -> Path:
    writer = files.create(path)
    writer.write(content)
    writer.close()
    return path


def test_a_created_file_is_private_and_its_folders_are_made(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "b" / "c")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_creating_never_opens_what_exists_not_even_a_dangling_symlink(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "a")
    for name in ("a", "link"):
        with pytest.raises(FileExistsError):
            files.create(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


def test_an_abandoned_file_is_gone(tmp_path: Path) -> None:
    writer = files.create(tmp_path / "a")
    writer.write(b"x")
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_symlink_in_any_component_is_refused_for_reading(tmp_path: Path) -> None:
    write(tmp_path / "real" / "deep" / "file")
    (tmp_path / "real" / "link").symlink_to(tmp_path / "real" / "deep" / "file")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "inner").symlink_to("deep")
    assert files.read(tmp_path / "real" / "deep" / "file", limit_bytes=99)[0] == b"content"
    for refused in ("real/link", "folder/deep/file", "real/inner/file"):
        with pytest.raises(OSError) as caught:
            files.read(tmp_path / refused, limit_bytes=99)
        assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR}, refused  # Linux says ENOTDIR of a symlinked folder


def test_a_pipe_a_directory_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError) as caught:
            files.read(path, limit_bytes=9)
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(("offset", "limit", "expected"), [(0, 4, b"0123"), (8, 4, b"89"), (10, 4, b""), (99, 1, b""), (3, 0, b"")])
def test_reading_gives_the_bytes_from_the_offset_and_the_stat_of_that_file(
    tmp_path: Path, offset: int, limit: int, expected: bytes
) -> None:
    path = write(tmp_path / "a", b"0123456789")
    data, stat = files.read(path, limit_bytes=limit, offset=offset)
    assert data == expected
    assert stat == files.stat(path)


def test_a_scan_gives_every_kind_without_following_symlinks(tmp_path: Path) -> None:
    write(tmp_path / "b")
    write(tmp_path / "é")
    write(tmp_path / "Z")
    write(tmp_path / "new\nline")
    write(tmp_path / os.fsdecode(b"\xc3\xff"))
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("/")
    os.mkfifo(tmp_path / "pipe")
    found = files.scan(tmp_path)
    assert sorted(name for name, _ in found) == sorted(path.name for path in tmp_path.iterdir())
    assert {name: stat.kind for name, stat in found if stat.kind != "file"} == {"a": "directory", "link": "symlink", "pipe": "other"}
    assert dict(found)["b"] == files.stat(tmp_path / "b")


def test_an_etag_survives_a_rename_and_changes_when_the_file_is_written_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    before = files.stat(path).etag
    assert files.rename(path, tmp_path / "b", replace=True).etag == before
    assert files.rename(tmp_path / "b", tmp_path / "c", replace=False).etag == before
    os.utime(tmp_path / "c", ns=(0, 1))
    assert files.stat(tmp_path / "c").etag != before


def test_a_rename_without_replace_overwrites_nothing_and_keeps_the_source(tmp_path: Path) -> None:
    write(tmp_path / "a", b"a")
    write(tmp_path / "b", b"b")
    (tmp_path / "dangling").symlink_to("nowhere")
    for target in ("b", "dangling"):
        with pytest.raises(FileExistsError):
            files.rename(tmp_path / "a", tmp_path / target, replace=False)
    assert (tmp_path / "a").read_bytes() == b"a"
    assert (tmp_path / "b").read_bytes() == b"b"


def test_a_rename_moves_and_makes_the_folders_of_the_target(tmp_path: Path) -> None:
    for replace in (True, False):
        write(tmp_path / "a")
        files.rename(tmp_path / "a", tmp_path / str(replace) / "deep" / "b", replace=replace)
        assert not (tmp_path / "a").exists()
        assert (tmp_path / str(replace) / "deep" / "b").read_bytes() == b"content"


def test_a_removed_file_and_an_emptied_directory_are_gone(tmp_path: Path) -> None:
    write(tmp_path / "folder" / "a")
    with pytest.raises(OSError):
        files.remove_directory(tmp_path / "folder")
    files.remove(tmp_path / "folder" / "a")
    files.remove_directory(tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        files.remove(tmp_path / "folder" / "a")
    assert list(tmp_path.iterdir()) == []


def test_resolving_follows_every_symlink(tmp_path: Path) -> None:
    write(tmp_path / "real" / "file")
    (tmp_path / "folder").symlink_to("real")
    assert files.resolve(tmp_path / "folder" / "file") == (tmp_path / "real" / "file").resolve()
