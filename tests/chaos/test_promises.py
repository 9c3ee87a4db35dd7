"""No answer that promises durability leaves the process before the disk has confirmed what it promises."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))

from program import FOREBAY, eventually, running

UNSAFE = (sys.executable, str(Path(__file__).parents[1] / "acceptance" / "unsafe_server.py"))
MARKER = "marker-5d2f6f0c"


@pytest.fixture(scope="module")
def strace() -> str:
    """The path of strace, installed from Debian where it is missing and that is allowed."""
    if shutil.which("strace") is None:
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "strace"]):
            subprocess.run(command, capture_output=True, check=False, timeout=300)
    found = shutil.which("strace")
    assert found is not None, "this test needs strace: run `apt-get install strace` as root"
    return found


def traced_upload(strace: str, command: Sequence[str], directory: Path) -> list[str]:
    """The system calls of a server that gets one upload and is asked for its status until it is indexed."""
    trace = directory / "trace"
    calls = "trace=pwrite64,write,fdatasync,fsync,sendto,sendmsg,writev,rename,renameat2,link,linkat"
    wrapped = (strace, "-f", "-qq", "-s", "6000", "-e", calls, "-o", str(trace), *command)
    with running(directory / "data", command=wrapped) as program, program.client() as client:
        headers = {"X-Correlation-ID": MARKER}
        accepted = client.post("/documents", params={"name": "promise.txt"}, content=b"a promise is a promise", headers=headers)
        assert accepted.status_code == 202
        document = accepted.json()["id"]

        def is_indexed() -> bool:
            return bool(client.get(f"/documents/{document}", params={"wait_seconds": 5}).json()["status"] == "indexed")

        eventually(is_indexed, "the document is indexed")
        program.stop()
    return trace.read_text(errors="replace").splitlines()


def broken_promises(calls: list[str]) -> list[str]:
    """Answers that were sent before what they promise was on disk.

    The write-ahead log's pages hold rows as text. So for each promise: the first write that holds the fact, the sync of
    that file that returned after it, and the answer must come in this order.
    """
    promises = {
        "202 for the upload": (
            rf"pwrite64\((\d+), .*DocumentUploaded.*{MARKER}|pwrite64\((\d+), .*{MARKER}.*DocumentUploaded",
            r"HTTP/1\.1 202",
        ),
        "status indexed": (r"pwrite64\((\d+), .*DocumentIndexed", r'\\"status\\":\\"indexed\\"'),
    }
    broken = []
    for promise, (fact, answer) in promises.items():
        written = next(((line, match) for line, call in enumerate(calls) if (match := re.search(fact, call))), None)
        answered = next(
            (line for line, call in enumerate(calls) if re.search(answer, call) and re.search(r"(sendto|write|sendmsg|writev)\(", call)),
            None,
        )
        assert written is not None, f"no write of what {promise} promises was seen"
        assert answered is not None, f"no answer of {promise} was seen"
        line, match = written
        descriptor = next(group for group in match.groups() if group)
        if not _synced(calls, descriptor, line, answered):
            broken.append(promise)
    return broken


def _synced(calls: list[str], descriptor: str, after: int, before: int) -> bool:
    """Whether a sync of the file began after one call and had returned before another."""
    unfinished: set[str] = set()
    for call in calls[after + 1 : before]:
        thread = call.split(maxsplit=1)[0]
        if re.search(rf"f(data)?sync\({descriptor}\)\s+= 0", call):
            return True
        if re.search(rf"f(data)?sync\({descriptor} <unfinished", call):
            unfinished.add(thread)
        if thread in unfinished and re.search(r"<\.\.\. f(data)?sync resumed>\)\s+= 0", call):
            return True
    return False


def test_no_answer_is_sent_before_the_sync_that_covers_it(strace: str, tmp_path: Path) -> None:
    calls = traced_upload(strace, (str(FOREBAY),), tmp_path)
    assert broken_promises(calls) == []
    upload = next(line for line, call in enumerate(calls) if "a promise is a promise" in call and "write(" in call)
    blob = re.search(r"write\((\d+), ", calls[upload])
    answer = next(line for line, call in enumerate(calls) if "HTTP/1.1 202" in call)
    assert blob is not None
    assert _synced(calls, blob[1], upload, answer), "the blob itself was not synced before the answer"


def test_the_same_check_fails_without_synchronous_full(strace: str, tmp_path: Path) -> None:
    calls = traced_upload(strace, UNSAFE, tmp_path)
    assert broken_promises(calls) == ["202 for the upload", "status indexed"]
