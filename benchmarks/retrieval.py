"""Retrieval quality (target 19): paraphrased questions against docstrings, for full text, vectors and both fused.

    .venv/bin/python -m benchmarks.retrieval [--directory DIR] [--misses]

The questions of benchmarks/queries/ were written, and frozen, before any ranking was looked at; each names the documents that answer
it. They avoid the words of the answer where that is natural. A document's rank is that of its first chunk among distinct documents.
Two more sets follow from the documents themselves, to see that words typed exactly are not lost for paraphrases: names as they are
spelt (and with their parts separated), and four neighbouring words from the middle of a text. `rrf` is reciprocal rank fusion of the
same candidates, for comparison. The interval is a paired bootstrap over the questions, of the mean reciprocal rank fused less that of
the better side alone.
With a directory, what has been ingested there is used again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import corpora
from forebay.app import open_forebay
from forebay.search.search import Search, SearchHit, SearchMode, SearchRequest
from forebay.settings import load_settings

CORPORA = {"standard_library": corpora.standard_library, "packages": corpora.packages}
MODES: tuple[SearchMode, ...] = ("text", "vector", "hybrid")
HIT_COUNT = 100
RESAMPLE_COUNT = 10_000
PROJECT = "default-project"


@dataclass(frozen=True)
class Question:
    """What is asked, and the names of the documents any of which answers it."""

    query: str
    answers: tuple[str, ...]


def questions_of(corpus: str) -> list[Question]:
    path = Path(__file__).parent / "queries" / f"{corpus}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Question(row["query"], tuple(row["answers"])) for row in rows]


def write_corpus(corpus: str, folder: Path) -> dict[str, str]:
    texts = CORPORA[corpus]()
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return texts


def derived_questions(texts: dict[str, str]) -> dict[str, list[Question]]:
    """Names and phrases of every so many documents."""
    by_last_part: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(texts):
        by_last_part[Path(name).stem].append(name)
    names = [part for part in sorted(by_last_part) if len(part) > 4 and len(by_last_part[part]) <= 3][::9]
    phrases = []
    for name in sorted(texts)[5::17]:
        words = re.findall("[A-Za-z]+", texts[name])
        if len(words) > 20:
            phrases.append(Question(" ".join(words[len(words) // 2 :][:4]), (name,)))
    return {
        "names": [Question(part, tuple(by_last_part[part])) for part in names],
        "names, separated": [Question(_separated(part), tuple(by_last_part[part])) for part in names],
        "phrases": phrases,
    }


def _separated(name: str) -> str:
    return re.sub("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", " ", name).strip().lower()


async def reciprocal_ranks(search: Search, questions: Sequence[Question], mode: SearchMode) -> NDArray[np.float64]:
    """1 / rank of each question's first answer; 0 where it is not among the hits."""

    async def one(question: Question) -> float:
        answer = await search.search(SearchRequest(query=question.query, project=PROJECT, k=HIT_COUNT, mode=mode))
        return _reciprocal_rank([hit.name for hit in answer.hits], question)

    return np.array([await one(question) for question in questions])


async def reciprocal_ranks_of_rrf(search: Search, questions: Sequence[Question]) -> NDArray[np.float64]:
    """The same for reciprocal rank fusion with the constant 60, out of the ranks that hits report."""

    async def one(question: Question) -> float:
        request = SearchRequest(query=question.query, project=PROJECT, k=2 * HIT_COUNT, mode="hybrid")
        hits = (await search.search(request)).hits

        def score(hit: SearchHit) -> float:
            return sum(1 / (60 + rank) for rank in (hit.ranks.text, hit.ranks.vector) if rank is not None and rank <= HIT_COUNT)

        return _reciprocal_rank([hit.name for hit in sorted(hits, key=score, reverse=True)], question)

    return np.array([await one(question) for question in questions])


def _reciprocal_rank(names: Sequence[str], question: Question) -> float:
    ranking = list(dict.fromkeys(names))
    return max((1 / (ranking.index(name) + 1) for name in question.answers if name in ranking), default=0.0)


def figures(ranks: NDArray[np.float64]) -> dict[str, float]:
    return {"R@1": float((ranks == 1).mean()), "R@5": float((ranks >= 1 / 5).mean()), "MRR": float(ranks.mean())}


def gain_interval(fused: NDArray[np.float64], single: NDArray[np.float64]) -> tuple[float, float, float]:
    """The mean gain, and its 95 % interval."""
    gains = fused - single
    drawn = np.random.default_rng(1).integers(len(gains), size=(RESAMPLE_COUNT, len(gains)))
    low, high = np.quantile(gains[drawn].mean(axis=1), (0.025, 0.975))
    return float(gains.mean()), float(low), float(high)


Ranks = dict[str, NDArray[np.float64]]


async def measure(corpus: str, directory: Path, *, shows_misses: bool) -> dict[str, Ranks]:
    folder, questions = directory / corpus / "docs", questions_of(corpus)
    texts = write_corpus(corpus, folder)
    lost = {name for question in questions for name in question.answers} - texts.keys()
    if lost:
        raise SystemExit(f"expected every answer to be a document of this installation, these are not: {sorted(lost)}")
    settings = load_settings({}, {"data_dir": directory / corpus / "data", "watch": (folder,)}, env_file=None)
    found: dict[str, Ranks] = {}
    async with open_forebay(settings) as program:
        await program.until_idle()
        for label, asked in {"questions": questions, **derived_questions(texts)}.items():
            found[label] = {mode: await reciprocal_ranks(program.core.search, asked, mode) for mode in MODES}
            found[label]["rrf"] = await reciprocal_ranks_of_rrf(program.core.search, asked)
            print(f"\n{corpus}, {len(texts)} documents: {len(asked)} {label}")
            report(found[label])
    if shows_misses:
        for number, question in enumerate(questions):
            if found["questions"]["hybrid"][number] < 1 / 5:
                shown = [round(float(ranks[number]), 3) for ranks in found["questions"].values()]
                print(f"  {shown}  {question.query}  -> {question.answers[0]}")
    return found


def report(found: Ranks) -> None:
    for mode, ranks in found.items():
        print(f"  {mode:8}" + "".join(f"  {name} {value:.3f}" for name, value in figures(ranks).items()))
    better = max(("text", "vector"), key=lambda mode: found[mode].mean())
    gain, low, high = gain_interval(found["hybrid"], found[better])
    recall = figures(found["hybrid"])["R@5"] - max(figures(found[mode])["R@5"] for mode in ("text", "vector"))
    print(f"  hybrid - {better}: MRR {gain:+.3f} [{low:+.3f}, {high:+.3f}]; hybrid - best: R@5 {recall:+.3f}")


async def run(directory: Path, *, shows_misses: bool) -> None:
    each = [await measure(corpus, directory, shows_misses=shows_misses) for corpus in CORPORA]
    for label in each[0]:
        print(f"\nboth corpora: {label}")
        report({mode: np.concatenate([found[label][mode] for found in each]) for mode in each[0][label]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--misses", action="store_true", help="list the questions whose answer is not among the first five")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(run(options.directory or Path(temporary), shows_misses=options.misses))


if __name__ == "__main__":
    main()
