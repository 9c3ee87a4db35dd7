"""Names and kinds of files that nobody gives to anything on purpose, or somebody very much on purpose."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

SEPARATORS = "\u2028\u2029\u0085"

# Names of files with words in them: every one of these is indexed.
NAMES: tuple[str, ...] = (
    *(f"control-{chr(code)}-{code}.txt" for code in (1, 7, 8, 9, 10, 11, 12, 13, 27, 31, 127, 0x9B)),
    *("\x1b]0;owned\x07title.txt", "\x1b[2Jclear.txt", "\x1b[31mred\x1b[0m.txt", "\x1bP0;1|17ab\x1b\\dcs.txt", "\x9b31mcsi.txt"),
    *(
        "line\nfeed\n.txt",
        "return\rover.txt",
        f"separators{SEPARATORS}.txt",
        "\u202egpj.txt",
        "\u2066isolate.txt",
        "\u200bzero\u200dwidth.txt",
    ),
    *(
        "\u0301.txt",
        "a" + "\u0301" * 60 + ".txt",
        "\ufeffmark.txt",
        "\U000e0041tag.txt",
        "\ue000private.txt",
        "\U0001f468\u200d\U0001f469.txt",
    ),
    *("n" * 251 + ".txt", "é" * 125 + ".txt", "\U0001f4a9" * 62 + ".txt", "..txt", "...txt", "....txt", ". .txt", " .txt", " leading.txt"),
    *(
        "two  spaces.txt",
        "trailing .txt",
        "-rf.txt",
        "--help.txt",
        "-.txt",
        "a'b\"c`d.txt",
        "a; DROP TABLE documents;--.txt",
        "' OR '1'='1.txt",
    ),
    *(
        "%.txt",
        "_.txt",
        "100%_*?.txt",
        "[a-z].txt",
        "{a,b}.txt",
        "**.txt",
        "!not.txt",
        "#comment.txt",
        "$(touch owned).txt",
        "`touch owned`.txt",
    ),
    *(
        "a|b>c<d&e.txt",
        "a;b.txt",
        "${HOME}.txt",
        "~.txt",
        "~root.txt",
        "back\\slash.txt",
        "..\\..\\up.txt",
        "C:\\evil.txt",
        "\\\\host\\share.txt",
    ),
    *("%2e%2e%2fup.txt", "%252e%252e%252fup.txt", "%00nul.txt", "%s%n%x%d.txt", "{name!r}.txt", "{0.__class__}.txt", "${jndi:ldap:x}.txt"),
    *(
        "<script>alert(1)<.txt",
        "&lt;.txt",
        "javascript:alert(1).txt",
        "NUL.txt",
        "CON.txt",
        "COM1.txt",
        "LPT1.md",
        "aux.h",
        "PRN.txt",
        "clock$.txt",
    ),
    *(
        "name:stream.txt",
        "name::$DATA.txt",
        '"quoted phrase".txt',
        "a NEAR(b c).txt",
        "a AND OR NOT b.txt",
        "col:umn*.txt",
        "^caret.txt",
        "(((.txt",
    ),
    *(
        "null.txt",
        "None.txt",
        "undefined.txt",
        "true.txt",
        "0.txt",
        "1e309.txt",
        "NaN.txt",
        "server.json.txt",
        "catalog.db.txt",
        "a.txt.txt.txt",
    ),
    *(
        "İstanbul.txt",
        "\u017ftraße.txt",
        "ﬁ.txt",
        "\u03a9.txt",
        "\u2126.txt",
        "Case.txt",
        "cASE.txt",
        unicodedata.normalize("NFC", "twin-é.txt"),
    ),
    *(unicodedata.normalize("NFD", "twin-é.txt"), "+piece.txt", "=piece.txt", "20240101000000_abcdef01_upload.txt", ".uploads.txt"),
)

# Names that announce no format.
UNSUPPORTED = (
    "trailing-space.txt ",
    "trailing-dot.txt.",
    ".txt",
    "no-suffix",
    "x.txt\n",
    "txt",
    "a.tx\u0301t",
    "a.t\u200bxt",
    "a\uff0etxt",
)
NOT_UTF8 = (b"caf\xe9.txt", b"\xff\xfe.txt", b"\xed\xa0\x80.txt", b"\xc0\xae\xc0\xae.txt", b"\xf5\x80\x80\x80.txt", b"cut\xe2\x82.txt")

DEEP_FOLDER_COUNT = 25  # of 200 bytes each: more than PATH_MAX


def words_of(number: int) -> str:
    """What the file with this number says."""
    return f"These are the words of the hostile name number {number}."


def make_names(folder: Path) -> None:
    """The files of NAMES, UNSUPPORTED and NOT_UTF8, flat in a folder."""
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (folder / name).write_text(words_of(number))
    for name in UNSUPPORTED:
        (folder / name).write_text("words under a name without a type")
    for raw in NOT_UTF8:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + raw)).write_bytes(b"words under a name that is not UTF-8")


def make_deep(folder: Path) -> None:
    """Folders in folders until no path reaches the innermost file."""
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth in range(DEEP_FOLDER_COUNT):
            name = f"{depth:02}" + "d" * 198
            os.mkdir(name, dir_fd=descriptor)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
            file = os.open("deep.txt", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=descriptor)
            os.write(file, b"words at depth %d" % depth)
            os.close(file)
    finally:
        os.close(descriptor)


def make_kinds(folder: Path, guard: Path) -> dict[str, str | None]:
    """Everything that is no plain file, and files of odd kinds: name and ending (None: no document)."""
    folder.mkdir()
    (folder / "target.txt").write_text("what the links inside lead to")
    os.mkfifo(folder / "pipe.txt")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as door, _opened(folder) as descriptor:
        door.bind(f"/proc/self/fd/{descriptor}/socket.txt")
    links = {
        "absolute.txt": str(guard),
        "relative.txt": os.path.relpath(guard, folder),
        "root.txt": "/",
        "zero.txt": "/dev/zero",
        "environment.txt": "/proc/self/environ",
        "self.txt": "self.txt",
        "ping.txt": "pong.txt",
        "pong.txt": "ping.txt",
        "broken.txt": "nowhere",
        "dangling-away.txt": "../../../../nowhere",
        "chain.txt": "relative.txt",
        "inside.txt": "target.txt",
        "inside-chain.txt": "inside.txt",
        "folder-away": str(guard.parent),
        "folder-inside": "../names",
        "to-pipe.txt": "pipe.txt",
        "long-target.txt": "x/" * 1000 + "y",
        "through-file.txt": "target.txt/x",
        "self-folder": ".",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.link(folder / "target.txt", folder / "hard-link.txt")
    with (folder / "sparse.txt").open("wb") as file:
        file.truncate(1 << 40)
    (folder / "unreadable.txt").write_text("nobody may read this")
    (folder / "unreadable.txt").chmod(0)
    (folder / "unreadable").mkdir()
    (folder / "unreadable" / "inside.txt").write_text("nobody may list this")
    (folder / "unreadable").chmod(0)
    (folder / "write-only.txt").write_text("nobody may read this either")
    (folder / "write-only.txt").chmod(0o200)
    (folder / "executable.txt").write_text("an executable with words")
    (folder / "executable.txt").chmod(0o4755)
    (folder / "directory.txt").mkdir()
    (folder / "directory.pdf" / "inner.md").mkdir(parents=True)
    old, future = folder / "old.txt", folder / "future.txt"
    for file, at in ((old, 0), (future, 32_503_680_000)):
        file.write_text("words of another time")
        os.utime(file, (at, at))
    endings: dict[str, str | None] = {
        **dict.fromkeys(
            ("target.txt", "inside.txt", "inside-chain.txt", "hard-link.txt", "executable.txt", "old.txt", "future.txt"), "indexed"
        ),
        **dict.fromkeys(("absolute.txt", "relative.txt", "chain.txt", "root.txt", "zero.txt", "environment.txt"), "outside_source"),
        **dict.fromkeys(("folder-away", "dangling-away.txt"), "outside_source"),
        **dict.fromkeys(("pipe.txt", "socket.txt", "self.txt", "ping.txt", "pong.txt", "broken.txt", "to-pipe.txt"), "not_a_file"),
        **dict.fromkeys(("long-target.txt", "through-file.txt"), "not_a_file"),
        **dict.fromkeys(("unreadable.txt", "unreadable", "write-only.txt"), "unreadable"),
        **dict.fromkeys(("folder-inside", "self-folder", "directory.txt", "directory.pdf"), None),
        "sparse.txt": "too_large",
    }
    with contextlib.suppress(PermissionError):  # where devices may be made
        os.mknod(folder / "device.txt", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        endings["device.txt"] = "not_a_file"
    return endings


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
