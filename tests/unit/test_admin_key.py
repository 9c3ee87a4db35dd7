"""The admin key: made once, and a key demanded where strangers can call."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from forebay.effects import real_effects
from forebay.errors import ForebayError
from forebay.server.keys.admin_key import check_binding, load_or_create_admin_key
from forebay.settings import Settings, load_settings


def settings(**given: object) -> Settings:
    return load_settings({}, given, env_file=None)


def test_a_key_is_made_on_the_first_start_and_stays(tmp_path: Path) -> None:
    effects = real_effects(thread_count=1)
    key = load_or_create_admin_key(effects, tmp_path)
    assert len(key) == 64
    assert load_or_create_admin_key(effects, tmp_path) == key
    assert [path.name for path in tmp_path.iterdir()] == ["admin.key"]
    assert stat.S_IMODE((tmp_path / "admin.key").stat().st_mode) == 0o600


def test_two_directories_have_different_keys(tmp_path: Path) -> None:
    effects = real_effects(thread_count=1)
    for name in "ab":
        (tmp_path / name).mkdir()
    assert load_or_create_admin_key(effects, tmp_path / "a") != load_or_create_admin_key(effects, tmp_path / "b")


def test_a_data_directory_behind_a_symlink_has_its_key(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    key = load_or_create_admin_key(real_effects(thread_count=1), tmp_path / "link")
    assert (tmp_path / "real" / "admin.key").read_text().strip() == key


@pytest.mark.parametrize("content", [b"", b"short", b"two lines of\nsomething that is long enough", "ä".encode() * 32, b"\xff" * 32])
def test_a_damaged_key_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "admin.key").write_bytes(content)
    with pytest.raises(ForebayError) as caught:
        load_or_create_admin_key(real_effects(thread_count=1), tmp_path)
    assert caught.value.code == "admin_key_damaged"
    assert (tmp_path / "admin.key").read_bytes() == content


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_this_machine_needs_no_key_of_its_own(host: str) -> None:
    check_binding(settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "localhost.example.org"])
def test_other_machines_need_a_long_key(host: str) -> None:
    for given in ({}, {"api_key": "k" * 31}):
        with pytest.raises(ForebayError) as caught:
            check_binding(settings(host=host, **given))
        assert caught.value.code == "key_required"
        assert "FOREBAY_API_KEY" in caught.value.hint
    check_binding(settings(host=host, api_key="k" * 32))
