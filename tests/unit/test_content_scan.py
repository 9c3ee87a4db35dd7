from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipeline.content_scan import FINDING_LIMIT, KINDS, count_by_kind, scan_content

# in two parts, so that no scanner takes this file for a leak
SECRETS = [
    ("private_key", "-----BEGIN RSA " + "PRIVATE KEY-----\n", "MIIEpAIB" + "AAKCAQEA7"),
    ("private_key", "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\n\n", "lQOYBGAAA" + "AABCAC"),
    ("aws_access_key", "id: ", "AKIA" + "Q3EGRIDFUFLFXX77"),
    ("github_token", "token ", "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789"),
    ("github_token", "token ", "github_pat_" + "11ABCDEFG0abcdefghijkl"),
    ("slack_token", "", "xoxb-" + "123456789012-abcdefghij"),
    ("model_key", "key: ", "sk-" + "proj-abcdEFGH1234ijklMNOP5678qrst"),
    ("jwt", "Bearer ", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpM"),
    ("url_password", "postgres://admin:", "hunter" + "22@db.local/x"),
    ("password", "password = ", '"hR7!k' + 'fj29ds"'),
    ("password", "db_password: ", "s3cr" + "3tQx9Zk1"),
    ("password", "DB_PASSWORD=", "s3cr" + "3tQx9Zk1"),
    ("password", 'API_KEY = "', "a8f5f167f44f4964" + 'e6c998dee827110c"'),
    ("password", '"apiKey": "', "a8f5f167f44f4964" + 'e6c998dee827110c"'),
    ("password", "aws_secret_access_key = ", "wJalrXUtnFEMI/" + "K7MDENGbPxRfiCYzK2LmN0pQ"),
    ("password", "CLIENT_SECRET='", "q8Z~3fT" + "y7Lm_0pWx'"),
]


@pytest.mark.parametrize(("kind", "before", "secret"), SECRETS)
def test_a_secret_is_found_with_its_line_and_never_shown(kind: str, before: str, secret: str) -> None:
    (finding,) = scan_content(f"first\nsecond\n{before}{secret}\nlast\n")
    assert (finding.kind, finding.line) == (kind, 3)
    bare = secret.strip("\"'")
    hidden = [bare[start : start + 8] for start in range(12, len(bare) - 7)] or [bare]
    assert not any(part in finding.excerpt for part in hidden)
    assert "characters)" in finding.excerpt


@pytest.mark.parametrize(
    "text",
    [
        "password = get_password_2()",
        "password = None",
        'password = "changeme123"',
        'password = "your-password-1"',
        'password: "${DB_PASSWORD_1}"',
        "password=os.environ['PASSWORD1']",
        'password = "correcthorse"',
        "AKIAIOSFODNN7" + "EXAMPLE",
        "sk-learn-is-a-nice-library-for-everybody",
        "task-0123456789abcdefABCDEF0123456789",
        "if '-----BEGIN RSA PRIVATE KEY-----' in text:",
        "https://example.org:8080/a@b",
        "http://user:pw@host".replace("pw", "<pw>"),
        "def secret(key: str) -> int: ...",
    ],
)
def test_code_and_examples_are_no_secrets(text: str) -> None:
    assert scan_content(text) == []


def test_findings_are_counted_by_kind() -> None:
    text = "\n".join(before + secret for _, before, secret in SECRETS)
    counts = count_by_kind(scan_content(text))
    assert set(counts) == set(KINDS)
    assert sum(counts.values()) == len(SECRETS)


def test_no_more_than_the_first_ones_are_kept() -> None:
    assert len(scan_content(("ghp_" + "a1" * 20 + "\n") * 1000)) == FINDING_LIMIT


@given(
    st.lists(st.sampled_from([*(before + secret for _, before, secret in SECRETS), "\n", " ", "x", "=", '"', "sk-", "AKIA"]), max_size=12)
)
def test_any_text_is_answered_and_always_the_same(pieces: list[str]) -> None:
    text = "".join(pieces)
    findings = scan_content(text)
    assert findings == scan_content(text)
    assert all(1 <= finding.line <= text.count("\n") + 1 for finding in findings)


@pytest.mark.parametrize(
    "unit",
    [
        "AKIA",
        "-----BEGIN ",
        "-----BEGIN A ",
        "gh",
        "ghp_a",
        "github_pat_",
        "xoxb-",
        "sk-",
        "sk-aA1",
        " sk-a",
        "eyJ",
        "a.eyJ",
        "aaaaaaaa.eyJ",
        "://",
        "://a:",
        "://a:b",
        "password=",
        'password="',
        "secret: a1b2c3d4 ",
        "api_key",
        " ",
        "=",
    ],
)
def test_hostile_text_takes_no_longer_than_any_other(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    started = time.process_time()
    scan_content(text)
    assert time.process_time() - started < 5  # quadratic time would be minutes
