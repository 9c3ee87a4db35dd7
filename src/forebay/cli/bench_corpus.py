"""A folder of files for `forebay bench`: the same ones on every machine, no two chunks alike."""

from __future__ import annotations

from pathlib import Path

_SUBJECTS = "gate pump valve sluice turbine intake reservoir spillway penstock screen trash-rack surge-tank".split()
_VERBS = "opens closes holds measures warms drains fills slows turns settles rises empties".split()
_PLACES = "at the dam|above the weir|below the bridge|in the power house|beside the canal|under the road|near the village".split("|")
_REASONS = "because the river brings ice|when the night shift begins|until the inspector has signed|while the snow melts".split("|")
SENTENCES_A_FILE = 56  # about 4 KB


def write_corpus(folder: Path, file_count: int) -> None:
    """Write so many Markdown files of about 4 KB, six chunks each."""
    folder.mkdir(parents=True)
    for number in range(file_count):
        (folder / f"note-{number:05}.md").write_text(note(number), encoding="utf-8")


def note(number: int) -> str:
    """The text of one file; different numbers share no sentence."""
    return f"# Note {number}\n\n" + "\n".join(_sentence(number * SENTENCES_A_FILE + place) for place in range(SENTENCES_A_FILE)) + "\n"


def question(number: int) -> str:
    """A question of words that the files have."""
    return f"Which {_SUBJECTS[number % 12]} {_VERBS[number * 5 % 12]} {_PLACES[number % 7]}?"


def _sentence(number: int) -> str:
    return f"The {_SUBJECTS[number % 12]} {number} {_VERBS[number * 7 % 12]} {_PLACES[number % 7]} {_REASONS[number % 4]}."
