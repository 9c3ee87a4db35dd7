"""What must be searchable, in plain dictionaries: the model that the state machine holds the program against."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Key = tuple[str, str]  # source, name
Answer = tuple[str, str | None]  # status, text that answers searches (white space collapsed)

FOLDER, UPLOAD, INCOMING = "folder", "upload", "incoming"
ABSENT: Answer = ("absent", None)
SKIPPED: Answer = ("skipped", None)
LINKS_FOLLOWED_COUNT = 40

_MILL = "turns the wheel of the mill once more"
_PARAGRAPHS = [f"Paragraph {number}: the water of the {word} {_MILL}, and then it rests until the next day." for number, word in enumerate(
    ["river", "brook", "canal", "spring"], 1)]  # fmt: skip
# Words that occur in one text each. The short texts have the same size, the long ones share paragraphs.
MARKERS = ("amber", "basil", "cedar", "delta", "ember", "ivory", "jumbo")
_SHORT = [f"{marker} {_MILL}" for marker in MARKERS[:5]]
_LONG = [
    "\n\n".join([*_PARAGRAPHS[:2], f"The {MARKERS[5]} gate is open.", *_PARAGRAPHS[2:]]),
    "\n\n".join([_PARAGRAPHS[0], f"The {MARKERS[6]} gate is shut.", *_PARAGRAPHS[2:]]),
]


class Content(bytes):
    """Bytes that a failing example shows by their name."""

    name = ""

    def __repr__(self) -> str:
        return f"CONTENTS[{self.name!r}]"


def _named(name: str, data: bytes) -> Content:
    content = Content(data)
    content.name = name
    return content


EMPTY, BINARY = b"", b"\0\1\2 no text"
CONTENTS = {
    name: _named(name, data)
    for name, data in (*zip(MARKERS, (text.encode() for text in (*_SHORT, *_LONG)), strict=True), ("empty", EMPTY), ("binary", BINARY))
}

# What a line of a `.gitignore` says about a path relative to it and whether that is a directory, told in Python.
IGNORE_LINES: dict[str, Callable[[str, bool], bool]] = {
    "*.md": lambda path, is_directory: path.endswith(".md"),
    "/a.txt": lambda path, is_directory: path == "a.txt",
    "sub/": lambda path, is_directory: is_directory and posixpath.basename(path) == "sub",
    "b.*": lambda path, is_directory: posixpath.basename(path).startswith("b."),
    "!b.md": lambda path, is_directory: posixpath.basename(path) == "b.md",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of a user: its content, and a stamp that every rewrite changes and a rename keeps."""

    data: bytes
    stamp: int


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink: `target` is a name in the folder, or a path that leads out of it."""

    target: str
    stamp: int


Node = File | Link


@dataclass(frozen=True, slots=True)
class Led:
    """What a name in the folder stands for, links followed."""

    data: bytes | None
    stamp: int
    problem: str | None = None  # why a link is not followed


def outcome(name: str, data: bytes) -> Answer:
    """What becomes of a content under a name."""
    if not name.endswith((".txt", ".md")) or data in (EMPTY, BINARY):
        return SKIPPED
    return "indexed", " ".join(data.decode().split())


@dataclass(slots=True)
class Model:
    """The user's files, and for every document the answers that are right; more than one only where accidents decide."""

    folder: dict[str, Node] = field(default_factory=dict)
    elsewhere: dict[str, Node] = field(default_factory=dict)
    # uploads and blobs of the intake container
    answers: dict[Key, set[Answer]] = field(default_factory=dict)
    possible: dict[Key, set[Answer]] = field(default_factory=lambda: defaultdict(set))  # all since the last settled point
    deleted_by_api: dict[str, Led] = field(default_factory=dict)  # name: what stays out until it is edited
    maybe_deleted: set[str] = field(default_factory=set)  # deleted as something else, which the file may be again by now
    touched: set[str] = field(default_factory=set)  # names in the folder that changed since the last settled point
    is_any_touched: bool = False  # the same for anything in the folder: links see what they lead to
    late: set[str] = field(default_factory=set)  # names that only the next complete comparison is sure to notice
    stamp: int = 0

    # -- the user's folder -------------------------------------------------------------------------------------------

    def put_file(self, name: str, data: bytes) -> None:
        """Written in place or replaced: both are a rewrite."""
        self.stamp += 1
        self.folder[name] = File(data, self.stamp)
        self.touch(name)

    def put_link(self, name: str, target: str) -> None:
        self.stamp += 1
        self.folder[name] = Link(target, self.stamp)
        self.touch(name)

    def touch(self, *names: str) -> None:
        self.touched.update(names)
        if any(name.endswith(".gitignore") for name in names):
            self.touched.update(self.folder, self.deleted_by_api)
        self.is_any_touched = True
        self.late.update(name for name, node in self.folder.items() if isinstance(node, Link))

    def files(self) -> list[str]:
        """Names of regular files that are documents or may be."""
        return sorted(name for name, node in self.folder.items() if isinstance(node, File) and not name.endswith(".gitignore"))

    def folders(self) -> list[str]:
        return sorted({name.split("/")[0] for name in self.folder if "/" in name})

    def below(self, prefix: str) -> list[str]:
        return sorted(name for name in self.folder if name.startswith(f"{prefix}/"))

    def ignored(self, name: str) -> bool:
        """As git decides: from the top, the last line that matches, and nothing below an ignored directory comes back."""
        parts = name.split("/")
        return any(self._is_ignored("/".join(parts[: depth + 1]), depth + 1 < len(parts)) for depth in range(len(parts)))

    def _is_ignored(self, path: str, is_directory: bool) -> bool:
        for folder in self._parents(path):
            rules = self.folder.get(posixpath.join(folder, ".gitignore"))
            if not isinstance(rules, File):
                continue
            relative = path[len(folder) + 1 :] if folder else path
            decided = [line for line in rules.data.decode().splitlines() if IGNORE_LINES[line](relative, is_directory)]
            if decided:
                return not decided[-1].startswith("!")
        return False

    def _parents(self, path: str) -> Iterator[str]:
        while path:
            path = posixpath.dirname(path)
            yield path

    def led_to(self, name: str) -> Led | None:
        """What a name stands for; None for a link to a folder."""
        node, first = self.folder[name], self.folder[name].stamp
        for _ in range(LINKS_FOLLOWED_COUNT):
            if isinstance(node, File):
                return Led(node.data, node.stamp)
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), node.target))
            if target.startswith(".."):
                return Led(None, first, "outside_source")
            if target == "." or self.below(target):
                return None
            if target not in self.folder:
                break
            name, node = target, self.folder[target]
        return Led(None, first, "not_a_file")

    def delete_by_api(self, name: str, *, is_newest: bool, is_sure: bool) -> None:
        """A user deletes the document of a file, as which it knew the file as it is now, or as it was before."""
        found = self.led_to(name) if name in self.folder else None
        if found is not None and is_newest:
            self.deleted_by_api[name] = found
            if not is_sure:
                self.touched.add(name)
        else:
            self.late.add(name)
            self.maybe_deleted.add(name)

    def _in_folder(self, name: str) -> set[Answer]:
        found = self.led_to(name)
        if found is None or self.ignored(name):
            return {ABSENT}
        answer = SKIPPED if found.data is None else outcome(name, found.data)
        if name in self.maybe_deleted:
            return {ABSENT, answer}
        if self.deleted_by_api.get(name) != found:
            return {answer}
        # it may have been something else for a moment, and then come back
        was_touched = name in self.touched or (self.is_any_touched and isinstance(self.folder[name], Link))
        return {ABSENT, answer} if was_touched else {ABSENT}

    # -- uploads and blobs -------------------------------------------------------------------------------------------

    def arrives(self, key: Key, data: bytes, *, is_sure: bool = True) -> None:
        """Content under a name; not sure when the process died before it had answered."""
        before = self.answers.get(key, {ABSENT})
        self.possible[key] |= before
        new = outcome(key[1], data)
        # of an upload that a crash interrupts the arrival may stand without its blob
        self.answers[key] = {new} if is_sure else before | {new} | self._failed(key)
        self.possible[key] |= self.answers[key]

    def is_taken_away(self, key: Key) -> None:
        """A blob goes from the intake container, nobody knows how far it had come."""
        self.possible[key] |= self.answers.get(key, {ABSENT})
        self.answers[key] = self.possible[key] | self._failed(key)

    def is_deleted(self, key: Key, *, is_sure: bool) -> None:
        """A user deletes the document of a blob."""
        before = self.answers.get(key, {ABSENT})
        self.possible[key] |= before | {ABSENT}
        self.answers[key] = {ABSENT} if is_sure else before | {ABSENT}

    def _failed(self, key: Key) -> set[Answer]:
        return {("failed", text) for _, text in self.possible[key]}

    # -- comparing ---------------------------------------------------------------------------------------------------

    def expected(self, *, is_complete: bool) -> dict[Key, set[Answer]]:
        """The right answers; without a complete comparison of the folder only where the watcher suffices."""
        found = {(FOLDER, name): self._in_folder(name) for name in self.folder if is_complete or name not in self.late}
        return found | self.answers

    def differences(self, seen: dict[Key, Answer], *, is_complete: bool) -> list[str]:
        """What the program shows that it should not, or the other way round."""
        expected = self.expected(is_complete=is_complete)
        if not is_complete:
            seen = {key: answer for key, answer in seen.items() if not (key[0] == FOLDER and key[1] in self.late)}
        return [
            f"{key}: expected {sorted(expected.get(key, {ABSENT}), key=str)}, got {seen.get(key, ABSENT)}"
            for key in sorted(expected.keys() | seen.keys())
            if seen.get(key, ABSENT) not in expected.get(key, {ABSENT})
        ]

    def settle(self, seen: dict[Key, Answer], *, is_complete: bool) -> None:
        """What accidents decided is known now."""
        self.answers = {key: {seen.get(key, ABSENT)} for key in self.answers}
        self.possible.clear()
        for name, deleted in list(self.deleted_by_api.items()):
            if name in self.late and not is_complete:
                continue
            found = self.led_to(name) if name in self.folder and not self.ignored(name) else None
            if found is not None and (found != deleted or (FOLDER, name) in seen):
                del self.deleted_by_api[name]
        if is_complete:
            for name in self.maybe_deleted & self.folder.keys():
                found = self.led_to(name)
                if found is not None and not self.ignored(name) and (FOLDER, name) not in seen:
                    self.deleted_by_api[name] = found
            self.maybe_deleted.clear()
            self.late.clear()
        self.touched &= self.late
        self.is_any_touched = bool(self.late)
