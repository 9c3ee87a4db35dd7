"""Hundreds of hostile files and names, by every door, in one running program.

None escapes, none exceeds its limits, none stops the rest, none reaches a terminal raw, and each is accounted for.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hostile_contents import Hostile, hostile_contents
from hostile_names import DEEP_FOLDER_COUNT, NAMES, NOT_UTF8, UNSUPPORTED, make_deep, make_kinds, make_names, words_of

from forebay.values.reasons import REASONS
from program import FOREBAY, Program, assert_sound, clean_environment, running

pytestmark = pytest.mark.alone  # how soon the server answers is measured

SECRET = "the guarded zeppelin"
PARSE_SECONDS, PARSE_MEMORY_BYTES = 8, 512 << 20
TREE_MEMORY_BYTES = 2 * PARSE_MEMORY_BYTES + (512 << 20)  # two workers and the server
TEXT_CHARACTERS = 20_000_000
LIGHT_BYTES = 20_000  # what is sent through every door; the rest comes from the watched folder
# small files that take seconds, which once is enough
HEAVY = {"again.pptx", "repeated.xlsx", "binary.rtf", "inflated-twice.pdf", "same-page.pdf", "table.docx", "overlapping.docx", "nested.eml"}
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\u200b]")
GOOD = "A good neighbour is indexed whatever happens next door."

# `/documents?name=` percent-encoded: accepted as a name like any other, or refused
UPLOAD_NAMES = {
    "a%00b.txt": 422,
    "..%2f..%2fetc%2fpasswd.txt": 422,
    "%2e%2e%2fup.txt": 422,
    "%2fetc%2fpasswd.txt": 422,
    "a%2f%2fb.txt": 422,
    "%2e": 422,
    "%2e%2e": 422,
    "": 422,
    "%2f": 422,
    "a%2f": 422,
    ".%2fa.txt": 422,
    "x" * 1025 + ".txt": 422,
    "%ff.txt": 422,
    "%ed%a0%80.txt": 422,
    "%c0%ae%c0%ae%2fup.txt": 422,
    "%252e%252e%252fup.txt": 202,
    "..%5c..%5cup.txt": 202,
    "C:%5cup.txt": 202,
    "~%2fup.txt": 202,
    "a%0d%0aSet-Cookie:%20b.txt": 202,
    "%1b%5b31mred.txt": 202,
    "%e2%80%aegpj.txt": 202,
    "file:%2f%2f%2fetc.txt": 422,
    "x" * 1000 + ".txt": 202,
    "a%2fb%2fc%2fd.txt": 202,
    ".uploads%2fx.txt": 202,
    "%f0%9f%92%a9.txt": 202,
}
# PUT /containers/<path>
BLOB_PATHS = {
    "incoming/blobs/%2e%2e%2fup.txt": 422,
    "incoming/blobs/%2e%2e/%2e%2e/up.txt": 422,
    "incoming/blobs/%2fetc%2fpasswd.txt": 422,
    "incoming/blobs/a%00b.txt": 422,
    "incoming/blobs/a//b.txt": 422,
    "incoming/blobs/" + "n" * 256 + ".txt": 422,
    "incoming/blobs/%ff.txt": 422,
    "incoming/blobs/%252e%252e%252fup-put.txt": 201,
    "incoming/blobs/..%5cup-put.txt": 201,
    "incoming/blobs/%1b%5b2Jput.txt": 201,
    "incoming/blobs/in/ner/put.txt": 201,
    "archive/blobs/%2e%2e%2fup.txt": 422,
    "archive/blobs/" + "n" * 900: 201,
    "archive/blobs/a%0ab": 201,
    "archive/blobs/a%0a": 201,
    "%2e%2e/blobs/up.txt": 404,
    ".uploads/blobs/up.txt": 404,
    ".metadata/blobs/up.txt": 404,
    "..%2f..%2fguard/blobs/up.txt": 404,
    "nowhere/blobs/up.txt": 404,
    "%00/blobs/up.txt": 404,
}


@dataclass(slots=True)
class Pulse:
    """Watches the server while it works: how soon it answers, and how much memory its processes take."""

    program: Program
    slowest_seconds: float = 0.0
    answer_count: int = 0
    worker_bytes: int = 0
    tree_bytes: int = 0
    is_over: bool = False
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        process = psutil.Process(self.program.pid)
        with self.program.client() as client:
            while not self.is_over:
                started = time.monotonic()
                assert client.get("/health/live").status_code == 200
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)
                self.answer_count += 1
                self._weigh(process)
                time.sleep(0.05)  # the pace of the pulse, not a wait for something

    def _weigh(self, process: psutil.Process) -> None:
        total = process.memory_info().rss
        for child in process.children(recursive=True):
            try:
                size_bytes = child.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            self.worker_bytes = max(self.worker_bytes, size_bytes)
            total += size_bytes
        self.tree_bytes = max(self.tree_bytes, total)

    def stop(self) -> None:
        self.is_over = True
        self.thread.join(60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What the program says and shows when everything has settled."""

    cases: list[Hostile]
    sent: list[Hostile]  # those that came by the other doors as well
    kinds: dict[str, str | None]
    documents: dict[tuple[str, str], dict[str, Any]]  # by source (`folder`, `incoming`, `upload`) and name
    texts: dict[str, list[str]]  # document id: chunks
    summary: dict[str, Any]
    changes: list[str]  # outside of the data directory
    answers: dict[str, int]  # of requests with hostile names
    pulse: Pulse
    outputs: dict[str, str]
    put: dict[str, Any]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    top = tmp_path_factory.mktemp("hostile")
    guard = top / "guard"
    guard.mkdir()
    (guard / "secret.txt").write_text(SECRET)
    inner = top / "inner"
    folder, sent_folder, data = inner / "folder", inner / "sent", inner / "data"
    cases = hostile_contents(str(guard / "secret.txt"))
    contents = {case.name: case.make() for case in cases}
    sent = [case for case in cases if len(contents[case.name]) < LIGHT_BYTES and case.name not in HEAVY]
    folder.mkdir(parents=True)
    sent_folder.mkdir()
    make_names(folder / "names")
    make_deep(folder / "deep")
    kinds = make_kinds(folder / "kinds", guard / "secret.txt")
    for place, chosen in ((folder / "contents", cases), (sent_folder / "contents", sent)):
        place.mkdir()
        for case in chosen:
            (place / case.name).write_bytes(contents[case.name])
    make_names(sent_folder / "names")
    before = listing(top, inner / "data")
    limits = {"FOREBAY_PARSE_TIMEOUT_SECONDS": str(PARSE_SECONDS), "FOREBAY_PARSE_MEMORY_MB": str(PARSE_MEMORY_BYTES >> 20)}
    retries = {"FOREBAY_ACTIVITY_ATTEMPTS": "2", "FOREBAY_FIRST_RETRY_SECONDS": "0.01", "FOREBAY_PARSE_WORKERS": "2"}
    (inner / "moving").mkdir()
    with running(data, watch=[folder, inner / "moving"], command=without_privileges(), **limits, **retries) as program:
        pulse = Pulse(program)
        try:
            restless = threading.Thread(target=move_files, args=(inner / "moving",))
            restless.start()
            drop(data / "containers" / "incoming", sent, contents)
            answers = ask_with_hostile_names(program)
            put = json.loads(cli(data, "put", "--json", str(sent_folder)))
            restless.join(60)
            summary = program.settled(documents=len(cases) + len(NAMES))
            with program.client() as client:
                documents, texts = everything(client, {str(folder): "folder", str(inner / "moving"): "moving"})
        finally:
            pulse.stop()
        outputs = {
            "list": cli(data, "documents", "list", "--all"),
            "list --json": cli(data, "documents", "list", "--all", "--json"),
            "search": cli(data, "search", "-k", "200", "words of the hostile name number", "--mode", "text"),
            "search --json": cli(data, "search", "-k", "200", "red herring", "--json"),
            "put": cli(
                data, "put", *(str(sent_folder / "names" / name) for name in NAMES[:30]), str(sent_folder / "contents" / "escapes.txt")
            ),
            **{
                f"show {document['name'][-40:]!r}": cli(data, "documents", "show", document["id"], *more)
                for (_, name), document in sorted(documents.items())
                for more in ((), ("--chunks",))
                if name in ("names/\x1b]0;owned\x07title.txt", "names/" + NAMES[0], "contents/escapes.txt", "contents/file-name.eml")
            },
        }
        (inner / "server.log").rename(top.parent / f"{top.name}.log")
        assert program.stop() == 0
    yield Aftermath(
        cases=cases,
        sent=sent,
        kinds=kinds,
        documents=documents,
        texts=texts,
        summary=summary,
        changes=changes(before, listing(top, data)),
        answers=answers,
        pulse=pulse,
        outputs=outputs,
        put=put,
    )
    assert_sound(data)


def without_privileges() -> Sequence[str]:
    """The program without what lets root read every file."""
    return ("setpriv", "--inh-caps=-all", "--bounding-set=-all", str(FOREBAY)) if os.geteuid() == 0 else (str(FOREBAY),)


def listing(top: Path, without: Path) -> dict[str, tuple[int, ...]]:
    """Inode, kind and mode, size and modification time of everything below `top`; times of folders do not count where we write."""
    found: dict[str, tuple[int, ...]] = {}
    for folder, folders, files, descriptor in os.fwalk(top):
        if Path(folder) == without.parent:
            folders[:] = [name for name in folders if name not in (without.name, "moving")]
            files[:] = [name for name in files if name != "server.log"]
        for name in (*folders, *files):
            seen = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            path = os.path.join(folder, name)
            is_ours = Path(path) == without.parent
            found[path] = (
                seen.st_ino,
                seen.st_mode,
                0 if is_ours else seen.st_size,
                0 if is_ours else seen.st_mtime_ns,
                seen.st_nlink * (not is_ours),
            )
    return found


def changes(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> list[str]:
    return [
        f"{path!r}: {before.get(path)} became {after.get(path)}"
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    ]


def cli(data: Path, *arguments: str, status: int = 0) -> str:
    """The standard output of a command, as bytes that are UTF-8."""
    environment = clean_environment(FOREBAY_DATA_DIR=str(data))
    done = subprocess.run([FOREBAY, *arguments], env=environment, cwd=data.parent, capture_output=True, timeout=120, check=False)
    assert done.returncode == status, f"{arguments[:3]}: {done.returncode}: {done.stderr.decode()[-2000:]}"
    return done.stdout.decode("utf-8")


def drop(incoming: Path, sent: list[Hostile], contents: dict[str, bytes]) -> None:
    """Another program puts files into the intake container, good ones in between."""
    for number, case in enumerate(sent):
        (incoming / case.name).write_bytes(contents[case.name])
        if number % 20 == 0:
            (incoming / f"good-{number}.txt").write_text(GOOD)
    for number, name in enumerate(NAMES):
        (incoming / name).write_text(words_of(number))
    for raw in NOT_UTF8[:2]:
        Path(os.fsdecode(os.fsencode(incoming) + b"/" + raw)).write_bytes(b"dropped")
    (incoming / "away.txt").symlink_to(incoming.parents[2] / "guard" / "secret.txt")
    os.mkfifo(incoming / "pipe.txt")
    (incoming / "directory.txt").mkdir()
    make_deep(incoming / "deep")


def move_files(folder: Path) -> None:
    """Files that grow, shrink, are replaced and vanish while they are read; in the end each is what it says."""
    for number in range(60):
        with (folder / "grows.txt").open("a") as file:
            file.write("more and more words\n" * 200)
        (folder / "shrinks.txt").write_text("fewer words\n" * (60 - number))
        (folder / "replacement").write_text(f"replaced {number} times\n" * 300)
        (folder / "replacement").replace(folder / "replaced.txt")
        vanishing = folder / f"vanishing-{number % 3}.txt"
        vanishing.write_text("soon gone")
        if number % 2:
            vanishing.unlink()
        if number % 7 == 0:
            (folder / "kind.txt").mkdir(exist_ok=True)
        elif number % 7 == 3:
            (folder / "kind.txt").rmdir()
        time.sleep(0.05)  # the pace of the changes, not a wait for something
    for number in range(3):
        (folder / f"vanishing-{number}.txt").unlink(missing_ok=True)


def ask_with_hostile_names(program: Program) -> dict[str, int]:
    """Requests as no client library would send them; the status of each."""
    record = json.loads((program.data_dir / "server.json").read_text())
    url = httpx.URL(record["url"])
    headers = {"X-API-Key": (program.data_dir / "admin.key").read_text().strip(), "Content-Type": "text/plain"}
    found: dict[str, int] = {}
    targets = {f"upload {name}": ("POST", f"/documents?name={name}") for name in UPLOAD_NAMES}
    targets |= {f"blob {path}": ("PUT", f"/containers/{path}") for path in BLOB_PATHS}
    for key, (method, target) in targets.items():
        connection = http.client.HTTPConnection(url.host, url.port, timeout=30)
        connection.request(method, target, body=f"what came as {key[:60]}".encode(), headers=headers)
        found[key] = connection.getresponse().status
        connection.close()
    for name in NAMES:
        with program.client() as client:
            answer = client.post("/documents", params={"name": f"by-http/{name}"}, content=f"uploaded as {name!r}".encode())
            found[f"name {name}"] = answer.status_code
    return found


def everything(client: httpx.Client, sources: dict[str, str]) -> tuple[dict[tuple[str, str], dict[str, Any]], dict[str, list[str]]]:
    """Every document with all its chunks."""
    documents: dict[tuple[str, str], dict[str, Any]] = {}
    texts: dict[str, list[str]] = {}
    cursor: str | None = None
    while True:
        page = client.get("/documents", params={"limit": 1000} | ({"cursor": cursor} if cursor else {})).json()
        for document in page["documents"]:
            documents[sources.get(document["source"], document["source"]), document["name"]] = document
            if document["chunk_count"]:
                parameters = {"limit": 1000}
                answer = client.get(f"/documents/{document['id']}/chunks", params=parameters).json()
                texts[document["id"]] = [chunk["text"] for chunk in answer["chunks"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return documents, texts


def ending(document: dict[str, Any] | None) -> str:
    """`indexed`, or the reason why not."""
    if document is None:
        return "no document"
    return str(document["status"] if document["status"] == "indexed" else document["reason"])


def wrong_contents(aftermath: Aftermath, source: str, prefix: str, cases: list[Hostile]) -> list[str]:
    wrong = []
    for case in cases:
        document = aftermath.documents.get((source, prefix + case.name))
        found = ending(document)
        if found not in case.endings:
            wrong.append(f"{case.name}: {found}, expected {sorted(case.endings)}")
        elif found == "indexed" and case.says is not None:
            assert document is not None
            # the first thousand chunks have been looked at
            if document["chunk_count"] <= 1000 and not any(case.says in text for text in aftermath.texts[document["id"]]):
                wrong.append(f"{case.name}: indexed without {case.says!r}")
    return wrong


def test_there_are_more_than_two_hundred_distinct_cases(aftermath: Aftermath) -> None:
    names = {case.name for case in aftermath.cases}
    assert len(names) == len(aftermath.cases) > 300
    assert len(set(NAMES) | set(UNSUPPORTED)) + len(NOT_UTF8) + len(aftermath.kinds) + len(UPLOAD_NAMES) + len(BLOB_PATHS) > 200


def test_every_content_in_the_watched_folder_ends_as_it_must(aftermath: Aftermath) -> None:
    assert wrong_contents(aftermath, "folder", "contents/", aftermath.cases) == []


def test_every_content_that_is_dropped_into_the_intake_container_ends_as_it_must(aftermath: Aftermath) -> None:
    assert len(aftermath.sent) > 150
    assert wrong_contents(aftermath, "incoming", "", aftermath.sent) == []


def test_every_content_that_is_put_ends_as_it_must(aftermath: Aftermath) -> None:
    assert wrong_contents(aftermath, "upload", "sent/contents/", aftermath.sent) == []
    put = {each["name"]: each for each in aftermath.put["documents"]}
    for case in aftermath.sent:
        assert ending(put[f"sent/contents/{case.name}"]) in case.endings, case.name
    assert aftermath.put["summary"]["files"] == len(put) == len(aftermath.sent) + len(NAMES) + len(UNSUPPORTED) + len(NOT_UTF8)


@pytest.mark.parametrize(("source", "prefix"), [("folder", "names/"), ("incoming", ""), ("upload", "sent/names/"), ("upload", "by-http/")])
def test_every_name_is_indexed_as_it_is_through_every_door(aftermath: Aftermath, source: str, prefix: str) -> None:
    wrong = []
    for number, name in enumerate(NAMES):
        document = aftermath.documents.get((source, prefix + name))
        expected = f"uploaded as {name!r}" if prefix == "by-http/" else words_of(number)
        if document is None or aftermath.texts.get(document["id"]) != [expected]:
            wrong.append((name, ending(document)))
    assert wrong == []


def test_names_that_cannot_be_taken_are_refused_by_their_reason(aftermath: Aftermath) -> None:
    found = {name: ending(aftermath.documents.get(("folder", f"names/{name}"))) for name in UNSUPPORTED}
    assert found == dict.fromkeys(UNSUPPORTED, "unsupported_type")
    escaped = [raw.decode("utf-8", "backslashreplace") for raw in NOT_UTF8]
    found = {name: ending(aftermath.documents.get(("folder", f"names/{name}"))) for name in escaped}
    assert found == dict.fromkeys(escaped, "name_not_utf8")
    assert ending(aftermath.documents.get(("incoming", escaped[0]))) == "name_not_utf8"


def test_requests_with_hostile_names_are_answered_as_they_deserve(aftermath: Aftermath) -> None:
    expected = {f"upload {name}": status for name, status in UPLOAD_NAMES.items()}
    expected |= {f"blob {path}": status for path, status in BLOB_PATHS.items()}
    expected |= {f"name {name}": 202 for name in NAMES}
    assert {key: (status, expected[key]) for key, status in aftermath.answers.items() if status != expected[key]} == {}


def test_every_kind_of_file_ends_as_it_must(aftermath: Aftermath) -> None:
    wrong = {}
    for name, expected in aftermath.kinds.items():
        found = ending(aftermath.documents.get(("folder", f"kinds/{name}")))
        if found != (expected or "no document"):
            wrong[name] = (found, expected)
    assert wrong == {}
    assert ending(aftermath.documents.get(("incoming", "away.txt"))) == "outside_source"
    assert ending(aftermath.documents.get(("incoming", "pipe.txt"))) == "not_a_file"


def test_a_tree_deeper_than_any_path_is_read_as_far_as_paths_reach(aftermath: Aftermath) -> None:
    found = {
        name: ending(document)
        for (source, name), document in aftermath.documents.items()
        if source == "folder" and name.startswith("deep/")
    }
    endings = list(found.values())
    assert set(endings) == {"indexed", "unreadable"}
    assert 15 < endings.count("indexed") < DEEP_FOLDER_COUNT
    dropped = [
        ending(document) for (source, name), document in aftermath.documents.items() if source == "incoming" and name.startswith("deep/")
    ]
    assert dropped.count("indexed") == 5
    assert set(dropped) == {"indexed", "name_too_long", "unreadable"}


def test_files_that_change_while_they_are_read_end_as_they_are(aftermath: Aftermath) -> None:
    moving = {name: document for (source, name), document in aftermath.documents.items() if source == "moving"}
    assert {name: ending(document) for name, document in moving.items()} == dict.fromkeys(
        ("grows.txt", "replaced.txt", "shrinks.txt"), "indexed"
    )
    assert aftermath.texts[moving["shrinks.txt"]["id"]] == ["fewer words"]
    assert set(" ".join(aftermath.texts[moving["replaced.txt"]["id"]]).split("\n")) <= {
        "replaced 59 times",
        "replaced 59 times replaced 59 times",
    }


def test_good_files_in_between_are_indexed(aftermath: Aftermath) -> None:
    good = [document for (source, name), document in aftermath.documents.items() if source == "incoming" and name.startswith("good-")]
    assert len(good) > 5
    assert all(aftermath.texts[document["id"]] == [GOOD] for document in good)


def test_nothing_outside_of_the_data_directory_is_created_changed_or_deleted(aftermath: Aftermath) -> None:
    assert aftermath.changes == []


def test_nothing_from_outside_is_read(aftermath: Aftermath) -> None:
    assert [texts for texts in aftermath.texts.values() if any(SECRET in text for text in texts)] == []


def test_memory_time_and_text_stay_within_their_limits(aftermath: Aftermath) -> None:
    assert aftermath.pulse.worker_bytes < PARSE_MEMORY_BYTES + (64 << 20)
    assert aftermath.pulse.tree_bytes < TREE_MEMORY_BYTES
    for (_, name), document in aftermath.documents.items():
        assert document["chunk_count"] <= TEXT_CHARACTERS / 100, name
        assert all(len(text) <= 800 for text in aftermath.texts.get(document["id"], ())), name


def test_the_server_answers_within_a_second_throughout(aftermath: Aftermath) -> None:
    assert aftermath.pulse.answer_count > 50
    assert aftermath.pulse.slowest_seconds < 1.0


def test_everything_is_accounted_for(aftermath: Aftermath) -> None:
    assert aftermath.summary["in_flight"] == 0
    assert sum(aftermath.summary["outcomes"].values()) == aftermath.summary["arrivals"]
    for (source, name), document in aftermath.documents.items():
        assert document["status"] in ("indexed", "skipped", "failed"), (source, name)
        if document["status"] != "indexed":
            assert REASONS[document["reason"]].outcome == document["status"], (source, name)
            assert document["reason"] not in ("internal", "storage_failed", "embedding_failed"), (source, name)


def test_no_output_steers_a_terminal(aftermath: Aftermath) -> None:
    raw = {what: CONTROL.search(output) for what, output in aftermath.outputs.items() if "--json" not in what}
    assert {what: (found.group(), found.start()) for what, found in raw.items() if found} == {}
    assert "\\x1b[31mred" in aftermath.outputs["list"]


def test_json_output_is_valid(aftermath: Aftermath) -> None:
    listed = json.loads(aftermath.outputs["list --json"])["documents"]
    assert {each["name"] for each in listed} >= {f"names/{name}" for name in NAMES}
    assert json.loads(aftermath.outputs["search --json"])["hits"]
    for what, output in aftermath.outputs.items():
        if "--json" in what:
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", output), what
