from __future__ import annotations

import errno
import os
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from forebay.effects import DiskFiles, FileStat
from forebay.errors import ForebayError
from forebay.intake.excludes import Excludes
from forebay.intake.scan import Scan, read_source_file, scan_source

NOTHING_EXCLUDED = Excludes(exclude=(), include=(), respect_gitignore=True)


class WatchedFiles(DiskFiles):
    """The disk, with a place to fail or to interfere."""

    def __init__(self) -> None:
        self.scanned: list[str] = []
        self.before: Callable[[str, Path], None] = lambda operation, path: None

    def scan(self, directory: Path) -> list[tuple[str, FileStat]]:
        self.before("scan", directory)
        self.scanned.append(directory.name)
        return super().scan(directory)

    def read(self, path: Path, *, limit_bytes: int, offset: int = 0) -> tuple[bytes, FileStat]:
        self.before("read", path)
        return super().read(path, limit_bytes=limit_bytes, offset=offset)

    def stat(self, path: Path) -> FileStat:
        self.before("stat", path)
        return super().stat(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    return root


def write(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def scan(root: Path, files: DiskFiles | None = None, excludes: Excludes = NOTHING_EXCLUDED, only: frozenset[str] | None = None) -> Scan:
    return scan_source(files or DiskFiles(), root, excludes, only=only)


def problems(found: Scan) -> dict[str, str | None]:
    return {entry.name: entry.problem for entry in found}


def deny(operation: str, name: str, error: int = errno.EACCES) -> Callable[[str, Path], None]:
    def before(what: str, path: Path) -> None:
        if what == operation and path.name == name:
            raise OSError(error, os.strerror(error), str(path))

    return before


def test_every_file_is_listed_once_in_byte_order_of_its_whole_name(root: Path) -> None:
    names = ["a-b", "a/b", "a/b-c", "a/c/d", "a0", "B", "é", "\U0001f600", "\uffee", "new\nline", "-x", " ", "x" * 255, "日" * 85]
    names += [unicodedata.normalize(form, "ü") for form in ("NFC", "NFD")]
    for name in names:
        write(root / name)
    found = scan(root)
    assert [entry.name for entry in found] == sorted(names, key=str.encode)
    assert all(entry.problem is None and entry.stat == DiskFiles().stat(root / entry.name) for entry in found)
    assert found.excluded_count == 0


def test_a_name_that_is_not_utf8_is_a_problem_and_a_folder_of_that_kind_is_not_entered(root: Path) -> None:
    write(root / os.fsdecode(b"bad\xff.txt"))
    write(root / os.fsdecode(b"folder\xff") / "below")
    write(root / "good")
    assert problems(scan(root)) == {"bad\udcff.txt": "name_not_utf8", "folder\udcff": "name_not_utf8", "good": None}


def test_a_symlink_to_a_file_inside_is_a_file_under_its_own_name(root: Path) -> None:
    write(root / "real" / "a.txt")
    (root / "link.txt").symlink_to("real/a.txt")
    (root / "chain").symlink_to("link.txt")
    found = scan(root)
    assert problems(found) == {"chain": None, "link.txt": None, "real/a.txt": None}
    assert {entry.stat.etag for entry in found} == {DiskFiles().stat(root / "real" / "a.txt").etag}


def test_a_symlink_that_leaves_the_source_is_one_problem_whatever_is_behind_it(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside" / "secret.txt")
    write(tmp_path / "source-2" / "neighbour.txt")
    (root / "file").symlink_to(tmp_path / "outside" / "secret.txt")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "neighbour").symlink_to("../source-2/neighbour.txt")
    (root / "back").symlink_to(tmp_path / "outside" / "nothing")
    assert problems(scan(root)) == dict.fromkeys(["back", "file", "folder", "neighbour"], "outside_source")


def test_a_symlink_to_a_folder_inside_is_counted_and_loops_are_harmless(root: Path) -> None:
    write(root / "real" / "a.txt")
    (root / "again").symlink_to("real")
    (root / "real" / "up").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "ping").symlink_to("pong")
    (root / "pong").symlink_to("ping")
    (root / "broken").symlink_to("nowhere")
    found = scan(root)
    assert problems(found) == {"broken": "not_a_file", "ping": "not_a_file", "pong": "not_a_file", "real/a.txt": None, "self": "not_a_file"}
    assert found.excluded_count == 2


def test_a_symlink_of_another_name_does_not_lead_to_a_secret(root: Path) -> None:
    write(root / ".env")
    write(root / ".aws" / "config")
    (root / "harmless.txt").symlink_to(".env")
    (root / "settings.txt").symlink_to(".aws/config")
    found = scan(root)
    assert (problems(found), found.excluded_count) == ({}, 4)


def test_pipes_and_sockets_are_not_files(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
        assert problems(scan(root)) == dict.fromkeys(["link", "pipe", "socket"], "not_a_file")


def test_excluded_directories_count_once_and_are_never_looked_into(root: Path) -> None:
    for name in (".git/a", ".git/b", "node/x/y", "kept/a.tmp", "kept/b"):
        write(root / name)
    files = WatchedFiles()
    found = scan(root, files, Excludes(exclude=("node/", "*.tmp"), include=(), respect_gitignore=True))
    assert [entry.name for entry in found] == ["kept/b"]
    assert found.excluded_count == 3
    assert files.scanned == ["source", "kept"]


def test_an_unreadable_directory_is_an_entry_and_its_neighbours_are_listed(root: Path) -> None:
    for name in ("a", "locked/b", "z/c"):
        write(root / name)
    files = WatchedFiles()
    files.before = deny("scan", "locked")
    found = scan(root, files)
    assert problems(found) == {"a": None, "locked": "unreadable", "z/c": None}
    assert next(entry.stat.kind for entry in found if entry.name == "locked") == "directory"


def test_a_directory_that_vanishes_meanwhile_is_no_problem(root: Path) -> None:
    write(root / "a")
    write(root / "gone" / "b")
    files = WatchedFiles()
    files.before = deny("scan", "gone", errno.ENOENT)
    assert problems(scan(root, files)) == {"a": None}


def test_a_gitignore_that_cannot_be_read_hides_its_directory_instead_of_showing_all_of_it(root: Path) -> None:
    write(root / "a")
    write(root / "sub" / ".gitignore", b"private\n")
    write(root / "sub" / "private")
    files = WatchedFiles()
    files.before = deny("read", ".gitignore")
    assert problems(scan(root, files)) == {"a": None, "sub": "unreadable"}
    write(root / "sub" / ".gitignore", b"#" * (256 * 1024 + 1))
    assert problems(scan(root)) == {"a": None, "sub": "unreadable"}


def test_a_gitignore_that_is_a_symlink_or_a_directory_has_no_rules(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "rules", b"*\n")
    write(root / "sub" / "a")
    write(root / "other" / ".gitignore" / "b")
    (root / "sub" / ".gitignore").symlink_to(tmp_path / "rules")
    assert problems(scan(root)) == {"other/.gitignore/b": None, "sub/.gitignore": "outside_source", "sub/a": None}


def test_a_tree_deeper_than_a_path_can_be_is_unreadable_where_it_gets_too_deep(root: Path) -> None:
    here = os.open(root, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    write(root / "z")
    (first, last) = scan(root).entries
    assert (first.problem, last) == ("unreadable", scan(root).entries[-1])
    assert last.name == "z"


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EACCES, errno.ESTALE])
def test_a_source_that_cannot_be_listed_is_unavailable_rather_than_empty(root: Path, error: int) -> None:
    write(root / "a")
    files = WatchedFiles()
    files.before = deny("scan", "source", error)
    with pytest.raises(ForebayError) as caught:
        scan(root, files)
    assert (caught.value.code, caught.value.retryable) == ("source_unavailable", True)


def test_a_source_that_is_missing_a_file_or_a_loop_is_unavailable(root: Path) -> None:
    write(root / "file")
    (root / "loop").symlink_to("loop")
    for name in ("missing", "file", "loop"):
        with pytest.raises(ForebayError) as caught:
            scan(root / name)
        assert caught.value.code == "source_unavailable"


def test_a_source_that_is_unmounted_while_it_is_scanned_is_unavailable(root: Path) -> None:
    write(root / "sub" / "a")
    files = WatchedFiles()

    def unmount(operation: str, path: Path) -> None:
        if operation == "scan" and path.name == "sub":
            root.rename(root.with_name("unmounted"))
            root.mkdir()

    files.before = unmount
    with pytest.raises(ForebayError) as caught:
        scan(root, files)
    assert caught.value.code == "source_unavailable"


def test_a_source_may_itself_be_reached_through_a_symlink(root: Path, tmp_path: Path) -> None:
    write(root / "a")
    (root / "link").symlink_to("a")
    (tmp_path / "way").symlink_to(root)
    assert problems(scan(tmp_path / "way")) == {"a": None, "link": None}


def test_only_the_given_names_and_what_is_below_them_are_looked_at(root: Path) -> None:
    for name in ("a/b/c", "a/b/d", "a/x", "big/one", "big/two", "top", ".env"):
        write(root / name)
    write(root / "a" / ".gitignore", b"d\n")
    files = WatchedFiles()
    found = scan(root, files, only=frozenset(["a/b", "big/two", "gone", "top/impossible", ".env"]))
    assert [entry.name for entry in found] == ["a/b/c", "big/two", "top"]
    assert files.scanned == ["b"]
    assert found.excluded_count == 2
    assert [entry.name for entry in scan(root, only=frozenset(["a/b", "a/b/d"]))] == ["a/b/c"]
    assert [entry.name for entry in scan(root, only=frozenset(["a", "a/b/impossible"]))] == ["a/.gitignore", "a/b/c", "a/x"]
    assert scan(root, only=frozenset([""])) == scan(root)
    assert scan(root, only=frozenset()).entries == []


def test_a_part_of_a_scan_says_the_same_as_the_whole(root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path)
    for name in ("a/b/c", "a/.gitignore", "d", "e/.env", "e/f"):
        write(root / name, b"c\n")
    whole = {entry.name: entry for entry in scan(root)}
    for name in ("a", "a/b", "a/b/c", "d", "e/.env", "e/f", "out", "out/x"):
        part = scan(root, only=frozenset([name])).entries
        top = name if name != "out/x" else "out"
        assert part == [entry for entry in whole.values() if entry.name == top or entry.name.startswith(f"{top}/")]


def test_a_file_that_is_as_known_is_no_entry_and_what_is_known_and_not_there_is_absent(root: Path) -> None:
    for name in ("a", "b/c", "b/d", "b/.env", "same-size", "é"):
        write(root / name)
    (root / "link").symlink_to("b/c")
    known: dict[str, str | None] = {entry.name: entry.stat.etag for entry in scan(root)}
    assert problems(scan_source(DiskFiles(), root, NOTHING_EXCLUDED, known=known)) == {}
    write(root / "same-size", b"CONTENT")
    os.utime(root / "same-size", ns=(0, 1))
    (root / "a").unlink()
    write(root / "new")
    known["b/d"] = None  # known, but not to be trusted
    found = scan_source(DiskFiles(), root, NOTHING_EXCLUDED, known=known | {"b/gone": "1"})
    assert problems(found) == {"b/d": None, "new": None, "same-size": None}
    assert found.absent == {"a", "b/gone"}


def test_what_is_known_and_cannot_be_a_file_any_more_is_an_entry_and_not_absent(root: Path, tmp_path: Path) -> None:
    (root / "link").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    write(root / os.fsdecode(b"bad\xff"))
    write(root / "folder" / "a")
    known = dict.fromkeys(["link", "pipe", "bad\\xff", "folder"], "1")
    found = scan_source(DiskFiles(), root, NOTHING_EXCLUDED, known=known)
    assert problems(found) == {"bad\udcff": "name_not_utf8", "folder/a": None, "link": "outside_source", "pipe": "not_a_file"}
    assert found.absent == {"folder"}


def test_only_the_known_names_that_are_asked_for_can_be_absent(root: Path) -> None:
    for name in ("a/b", "a/c"):
        write(root / name)
    known: dict[str, str | None] = {entry.name: entry.stat.etag for entry in scan(root) if entry.name == "a/b"}
    found = scan_source(DiskFiles(), root, NOTHING_EXCLUDED, known=known | {"a/gone": "1"}, only=frozenset(["a/b", "a/gone"]))
    assert (problems(found), found.absent) == ({}, {"a/gone"})


def test_reading_gives_content_and_stat_also_through_a_link_inside(root: Path) -> None:
    path = write(root / "sub" / "a")
    (root / "link").symlink_to("sub/a")
    (root / "folder").symlink_to("sub")
    for name in ("sub/a", "link", "folder/a"):
        data, stat = read_source_file(DiskFiles(), root, name, limit_bytes=4)
        assert (data, stat) == (b"cont", DiskFiles().stat(path))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gone", "vanished"),
        ("file/below", "vanished"),
        ("outside", "outside_source"),
        ("folder-outside/secret", "outside_source"),
        ("../secret", "outside_source"),
        ("/etc/passwd", "outside_source"),
        ("pipe", "not_a_file"),
        ("folder", "not_a_file"),
        ("loop", "not_a_file"),
    ],
)
def test_reading_what_is_no_file_of_the_source_says_why(root: Path, tmp_path: Path, name: str, code: str) -> None:
    write(tmp_path / "secret")
    write(root / "file")
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "folder-outside").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    (root / "loop").symlink_to("loop")
    with pytest.raises(ForebayError) as caught:
        read_source_file(DiskFiles(), root, name, limit_bytes=9)
    assert caught.value.code == code


def test_reading_without_permission_is_unreadable(root: Path) -> None:
    write(root / "a")
    files = WatchedFiles()
    files.before = deny("read", "a")
    with pytest.raises(ForebayError) as caught:
        read_source_file(files, root, "a", limit_bytes=9)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("swapped", ["sub", "sub/a"])
def test_a_symlink_swapped_in_after_the_check_is_not_followed(root: Path, tmp_path: Path, swapped: str) -> None:
    write(root / "sub" / "a")
    write(tmp_path / "outside" / "a", b"secret")
    files = WatchedFiles()

    def swap(operation: str, path: Path) -> None:
        (root / swapped).rename(tmp_path / "aside")
        (root / swapped).symlink_to(tmp_path / "outside" / swapped.removeprefix("sub").removeprefix("/"))

    files.before = swap
    with pytest.raises(ForebayError) as caught:
        read_source_file(files, root, "sub/a", limit_bytes=9)
    assert caught.value.code in {"outside_source", "vanished"}
