from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.effects import DiskFiles
from forebay.intake.excludes import Excludes
from forebay.intake.patterns import PatternList
from forebay.intake.scan import scan_source


def excludes(*exclude: str, include: tuple[str, ...] = (), respect_gitignore: bool = True) -> Excludes:
    return Excludes(exclude=exclude, include=include, respect_gitignore=respect_gitignore)


def kept(root: Path, rules: Excludes) -> list[str]:
    return [entry.name for entry in scan_source(DiskFiles(), root, rules)]


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


SECRETS = [".git/config", ".env", ".env.local", "sub/.envrc", "a.pem", "sub/b.key", "id_rsa", "id_rsa.pub", ".netrc", "x/credentials.json"]
SECRETS += [".aws/config", "sub/.ssh/known_hosts", ".env.d/values", "line\nbreak.pem"]
NO_SECRETS = [
    "secrets.py",
    "env",
    "my.env",
    "key",
    "a.key.md",
    "pem",
    "netrc",
    "my_credentials.json",
    "aws/config",
    "id_ed25519",
    ".github/a",
]
NO_SECRETS += [".gitignore.md", ".ssh.md", "keys.py", "Credentials.json"]


def test_files_that_tend_to_hold_secrets_are_excluded_and_nothing_that_only_sounds_like_it(tmp_path: Path) -> None:
    tree(tmp_path, *SECRETS, *NO_SECRETS)
    assert kept(tmp_path, excludes()) == sorted(NO_SECRETS)


def test_an_exclude_pattern_can_reinclude_a_secret_but_a_gitignore_cannot(tmp_path: Path) -> None:
    tree(tmp_path, ".env", ".env.example")
    (tmp_path / ".gitignore").write_text("!.env\n!.env.example\n")
    assert kept(tmp_path, excludes("!.env.example", ".gitignore")) == [".env.example"]


def test_an_exclude_pattern_wins_over_a_gitignore(tmp_path: Path) -> None:
    tree(tmp_path, "build/a", "notes.tmp", "b.tmp")
    (tmp_path / ".gitignore").write_text("build/\n*.tmp\n!notes.tmp\n.gitignore\n")
    assert kept(tmp_path, excludes("!build/", "notes.*")) == ["build/a"]


def test_gitignores_are_left_alone_when_they_are_not_respected(tmp_path: Path) -> None:
    tree(tmp_path, "a.tmp")
    (tmp_path / ".gitignore").write_text("*\n")
    assert kept(tmp_path, excludes(respect_gitignore=False)) == [".gitignore", "a.tmp"]


def test_include_patterns_take_files_and_whole_directories_but_exclude_patterns_win(tmp_path: Path) -> None:
    tree(tmp_path, "a.md", "a.txt", "docs/b.txt", "docs/deep/c.bin", "docs/private.md", "src/d.md", "src/e.py")
    assert kept(tmp_path, excludes("private.*", include=("*.md", "docs/"))) == ["a.md", "docs/b.txt", "docs/deep/c.bin", "src/d.md"]
    assert kept(tmp_path, excludes(include=("docs/", "!docs/deep/"))) == ["docs/b.txt", "docs/private.md"]
    assert kept(tmp_path, excludes(include=("/*.md",))) == ["a.md"]


def test_what_no_include_pattern_takes_counts_as_excluded(tmp_path: Path) -> None:
    tree(tmp_path, "a.md", "b.txt", "sub/c.txt")
    scan = scan_source(DiskFiles(), tmp_path, excludes(include=("*.md",)))
    assert (len(scan.entries), scan.excluded_count) == (1, 2)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.pem", ["a.pem", ".pem", "x\n.pem", "a/b.pem"], ["a.pem\n", "pem"]),
        ("/a", ["a"], ["b/a"]),
        ("a/b", ["a/b"], ["x/a/b"]),
        ("**/b", ["b", "a/b", "a/\n/b"], ["ab"]),
        ("a/**", ["a/b", "a/b/c"], ["a"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["ab", "a/xb"]),
        ("a*c", ["abc", "ac", "a\nc"], ["a/c"]),
        ("[!a]b", ["bb", "éb"], ["ab", "b"]),
        ("[]-]x", ["]x", "-x"], ["ax"]),
        ("?.txt", ["é.txt"], ["ab.txt"]),
        (r"\#a", ["#a"], ["a"]),
        (r"\!a", ["!a"], ["a"]),
        ("a  ", ["a"], ["a  "]),
        ("a\\ ", ["a "], ["a"]),
        ("a[", [], ["a["]),
        ("a\\", [], ["a\\", "a"]),
        ("# a", [], ["# a"]),
        ("", [], ["a"]),
        ("/", [], ["a"]),
    ],
)
def test_a_pattern_matches_what_git_says_it_does(pattern: str, matching: list[str], others: list[str]) -> None:
    patterns = PatternList([pattern])
    for path in matching + others:
        assert (patterns.decide(path, path.rpartition("/")[2], False) is True) == (path in matching), path


def test_carriage_returns_and_a_byte_order_mark_do_not_belong_to_patterns() -> None:
    patterns = PatternList.of_text("\ufeffa\r\nb\r\n")
    assert patterns.decide("a", "a", False)
    assert patterns.decide("b", "b", False)


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "**/" + "*a/**/" * 20 + "b", "/".join(["**", "*a*a*a*b"] * 20), "?*" * 100 + "b"])
@pytest.mark.parametrize("path", ["a" * 255, "/".join("a" * 1500), "/".join(["a" * 200] * 18)])
def test_a_pattern_made_to_be_slow_is_not(pattern: str, path: str) -> None:
    patterns = PatternList([pattern])
    started = time.perf_counter()
    assert patterns.decide(path, path.rpartition("/")[2], False) is None
    assert time.perf_counter() - started < 1


fragments = [
    "a",
    "b",
    "c",
    ".",
    "-",
    "!",
    "*",
    "**",
    "***",
    "?",
    "/",
    "**/",
    "/**",
    "/**/",
    "[ab]",
    "[!a]",
    "[a-c]",
    "[c-a]",
    "[]a]",
    "[^b-]",
]
fragments += ["[[:alpha:]]", "[[:x]", "[[:nope:]]", "[", "]", "[\\]]", "\\a", "\\*", "\\", "\\/", " ", "#"]
patterns = st.builds(
    lambda sign, start, middle, end: sign + start + "".join(middle) + end,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(st.sampled_from(fragments), min_size=1, max_size=5),
    st.sampled_from(["", "", "/"]),
)
ignore_files = st.lists(patterns, max_size=4).map(lambda lines: "\n".join(lines) + "\n")
names = st.sampled_from(["a", "b", "c", "ab", "abc", "a.b", "x", "*", "-", "]", "!", "#a", "a b", "[", "\\"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    files=st.sets(paths, min_size=5, max_size=25), ignores=st.dictionaries(st.sampled_from(["", "a/", "a/b/"]), ignore_files, min_size=1)
)
def test_a_scan_leaves_out_exactly_what_git_ignores(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], ignores: dict[str, str]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    git = ["git", "-C", str(root), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    for name in sorted(files):
        path = root / name
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            tree(root, name)
    for folder, text in ignores.items():
        if (root / folder).is_dir():
            (root / folder / ".gitignore").write_text(text)
    listing = subprocess.run([*git, "ls-files", "-z", "--others", "--exclude-standard"], check=True, capture_output=True).stdout
    assert kept(root, excludes()) == sorted(filter(None, listing.decode().split("\0")))
