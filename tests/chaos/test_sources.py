"""Watched folders whose files can be read no more, and folders that are unmounted and mounted again."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from disks import RemovableFolder
from scenario import SEEDS, WORDS, Texts, always, chance_of, settle_and_reckon

from program import FOREBAY, Program, eventually, running

FILE_COUNT = 24
SETTINGS = {"FOREBAY_RECONCILE_INTERVAL_SECONDS": "1", "FOREBAY_FIRST_RETRY_SECONDS": "0.05"}
# the superuser may read everything, unless that is taken from it
WITHOUT_PRIVILEGES = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", str(FOREBAY)) if os.geteuid() == 0 else (str(FOREBAY),)


@pytest.mark.parametrize("seed", SEEDS)
def test_files_that_turn_unreadable_are_indexed_when_they_can_be_read_again(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "unreadable files")
    folder, closed = tmp_path / "folder", tmp_path / "folder" / "closed"
    closed.mkdir(parents=True)
    texts = write_files(folder, chance)
    with running(tmp_path / "data", watch=[folder], command=WITHOUT_PRIVILEGES, **SETTINGS) as program:
        program.settled(documents=FILE_COUNT)
        with always(lambda: closed.chmod(0o700)):
            closed.chmod(0)
            locked = chance.sample(sorted(texts), FILE_COUNT // 2)
            edited = set(locked[::2])
            for name in locked:
                (folder / name).chmod(0)
                if name in edited:
                    texts[name] = text_of(chance)
                    (folder / name).write_text(texts[name])
            for name in ("new.txt", "closed/new.txt"):
                texts[name] = text_of(chance)
                (folder / name).write_text(texts[name])
                (folder / name).chmod(0)
            skipped = {name: "skipped" for name in texts if name in edited | {"new.txt"} and not name.startswith("closed/")}
            # what has not changed, or cannot be told to have, goes on answering
            expected = dict.fromkeys(texts.keys() - {"closed/new.txt"}, "indexed") | skipped | {"closed": "skipped"}
            eventually(lambda: statuses(program) == expected, f"{len(skipped)} files and a folder are skipped")
            for name in texts:
                (folder / name).chmod(0o600)
        eventually(lambda: statuses(program) == dict.fromkeys(texts, "indexed"), "all are indexed again")
        settle_and_reckon(program, below(folder, texts), indexed_once=False)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_folder_that_is_unmounted_with_files_in_work_is_indexed_when_it_is_mounted_again(seed: int, tmp_path: Path) -> None:
    chance = chance_of(seed, "unmounted folder")
    folder, content = tmp_path / "folder", tmp_path / "content"
    removable = RemovableFolder(folder, content)
    texts = write_files(content, chance)
    with always(removable.unmount):
        removable.attach()
        with running(tmp_path / "data", watch=[folder], **SETTINGS) as program:
            for _ in range(3):
                time.sleep(chance.uniform(0, 0.7))  # the random moment is what is tested
                removable.detach()
                for name in chance.sample(sorted(texts), 3):
                    texts[name] = text_of(chance)
                    (content / name).write_text(texts[name])
                time.sleep(chance.uniform(0, 1.5))
                removable.attach()
            eventually(lambda: statuses(program) == dict.fromkeys(texts, "indexed"), "all are indexed")
            settle_and_reckon(program, below(folder, texts), indexed_once=False)


def write_files(folder: Path, chance: random.Random) -> dict[str, str]:
    """Files in a folder and in one below it."""
    (folder / "closed").mkdir(exist_ok=True)
    names = [f"{'closed/' if number % 6 == 0 else ''}{number}.txt" for number in range(FILE_COUNT)]
    texts = {name: text_of(chance) for name in names}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return texts


def text_of(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.choice([5, 400])))


def below(folder: Path, texts: dict[str, str]) -> Texts:
    return {(str(folder), name): text for name, text in texts.items()}


def statuses(program: Program) -> dict[str, str]:
    with program.client() as client:
        return {each["name"]: each["status"] for each in client.get("/documents?limit=1000").json()["documents"]}
