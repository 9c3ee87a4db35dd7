"""The content scan: secrets that somebody left in a file. Programs are refused before, by `validate`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import log2
from typing import Literal

from forebay.values.finding import Finding

ScanAction = Literal["warn", "skip", "fail"]  # what becomes of a file with findings: it is indexed, skipped, or failed
FINDING_LIMIT = 100  # of one file
_ENTROPY_LIMIT_BITS = 3.0  # a character, of a password; words have less, random characters more
_KEY_ENTROPY_LIMIT_BITS = 3.5

_VALUE = (
    r"""["']?[ \t]{0,4}(?:=|:|=>)[ \t]{0,4}"""
    r"""(?:(?P<quote>["'])(?P<secret>[^"'\s]{8,200})(?P=quote)|(?P<bare>[^"'\s(){}\[\],;]{8,200})(?=\s|\Z))"""
)
# Each pattern begins with characters that are rare and that `re` can therefore skip to, and looks back from there. The group
# `secret` (or `bare`) is what is never shown.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (
            "private_key",
            r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?P<secret>(?:\s|\\n){1,4}[A-Za-z0-9+/=:-]{8})",
        ),
        ("aws_access_key", r"A(?<![A-Za-z0-9]A)(?:KIA|SIA)(?P<secret>[A-Z2-7]{16})(?![A-Za-z0-9])"),
        ("github_token", r"gh(?<![A-Za-z0-9]gh)[opsru]_(?P<secret>[A-Za-z0-9]{36,255})"),
        ("github_token", r"github_pat_(?P<secret>[A-Za-z0-9_]{22,255})"),
        ("slack_token", r"xox(?<![A-Za-z0-9]xox)[abeoprs]-(?P<secret>[A-Za-z0-9-]{10,255})"),
        ("model_key", r"k-(?<=sk-)(?<![A-Za-z0-9_-]sk-)(?P<secret>[A-Za-z0-9_-]{20,255})"),
        ("jwt", r"J(?<=[\w-]{8}\.eyJ)(?P<secret>[\w-]{8,8000}+\.[\w-]{10,1000})"),
        ("url_password", r"://[\w.%+-]{1,100}+:(?P<secret>[^\s/:@\"'<>{}$]{3,100}+)@(?=[\w\[])"),
        ("password", r"w(?<=assw)(?:or)?d" + _VALUE),
        ("password", r"cret(?<=ecret)(?:_?[kK]ey|_access_key|_?[tT]oken)?" + _VALUE),
        ("password", r"pi_?[kK]ey" + _VALUE),
        ("password", r"S(?:ECRET(?:_KEY|_ACCESS_KEY|_TOKEN)?|SWORD)" + _VALUE),
        ("password", r"PI_KEY" + _VALUE),
    )
)
KINDS = tuple(dict.fromkeys(kind for kind, _ in _PATTERNS))
_PLACEHOLDER = re.compile(
    r"x{4}|\*{3}|\.{3}|example|change|dummy|placeholder|your|<|>|\$|\{|%\(|environ|getenv|test|passw|secret", re.IGNORECASE
)


def scan_content(text: str) -> list[Finding]:
    """The first `FINDING_LIMIT` secrets of a text, by pattern and then in order.

    *Guarantees*: deterministic; time linear in the text; no finding holds any part of the secret.
    """
    findings: list[Finding] = []
    for kind, pattern in _PATTERNS:
        line, counted_to = 1, 0
        for match in pattern.finditer(text):
            is_bare = match["secret"] is None
            secret = match["bare"] if is_bare else match["secret"]
            if not _is_secret(kind, secret, is_bare=is_bare):
                continue
            if len(findings) == FINDING_LIMIT:
                return findings
            line += text.count("\n", counted_to, match.start())
            counted_to = match.start()
            findings.append(Finding(kind=kind, line=line, excerpt=_excerpt(kind, match, secret)))
    return findings


def count_by_kind(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each kind."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
    return counts


def _excerpt(kind: str, match: re.Match[str], secret: str) -> str:
    """The name or the prefix that stands before a secret, and the secret's length."""
    hidden = f"… ({len(secret):,} characters)"
    if kind == "url_password":
        return "://" + hidden
    name_start = max(0, match.start() - 24)
    while name_start < match.start() and not (match.string[name_start : match.start()].replace("_", "").isalnum()):
        name_start += 1
    shown = match.string[name_start : match.end()].partition(secret)[0].rstrip()
    return shown + hidden


def _is_secret(kind: str, value: str, *, is_bare: bool) -> bool:
    """Whether it is likely a real one: documentation is full of examples."""
    if kind in ("private_key", "jwt"):
        return True
    if _PLACEHOLDER.search(value):
        return False
    has_digit = any(map(str.isdigit, value))
    if kind == "model_key":
        has_cases = any(map(str.isupper, value)) and any(map(str.islower, value))
        return has_digit and has_cases and _entropy_bits(value) >= _KEY_ENTROPY_LIMIT_BITS
    if kind == "password":
        # one bare word may be a variable's or a function's name
        is_word = value.replace("_", "").replace(".", "").replace("-", "").isalnum()
        is_likely = has_digit and any(map(str.isalpha, value)) if is_bare else has_digit or not is_word
        return is_likely and _entropy_bits(value) >= _ENTROPY_LIMIT_BITS
    return True


def _entropy_bits(value: str) -> float:
    """Shannon's, per character."""
    return -sum(share * log2(share) for share in (value.count(character) / len(value) for character in set(value)))
