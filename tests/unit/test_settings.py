from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import ForebayError
from forebay.settings import NOISE_PATTERNS, SECRET_PATTERNS, Secret, Settings, display, leaves, load_settings

DOCS = Path(__file__).parents[2] / "docs"


def load(environ: dict[str, str], **overrides: object) -> Settings:
    return load_settings(environ, overrides, env_file=None)


def test_without_anything_every_setting_has_its_default():
    settings = load({})
    assert settings == Settings()
    assert {settings.origin(leaf.name) for leaf in leaves()} == {"default"}
    assert (settings.data_dir, settings.server.port, settings.chunking.chunk_size) == (Path("forebay-data"), 8000, 800)
    assert settings.intake.exclude_patterns == (*SECRET_PATTERNS, *NOISE_PATTERNS)


def test_every_setting_has_a_unit_a_help_line_and_an_entry_in_the_docs():
    documented = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for leaf in leaves():
        assert leaf.unit, leaf.name
        assert leaf.help.endswith("."), leaf.name
        assert f"`{leaf.variable}`" in documented


def test_setting_names_are_unique_over_all_groups():
    names = [leaf.name for leaf in leaves()]
    assert len(names) == len(set(names))


def test_the_default_as_documented_is_the_default_as_used():
    machine_dependent = {"data_dir", "public_url", "include", "parse_workers", "embed_threads", "model_cache_dir"}
    for leaf in leaves():
        if leaf.name not in machine_dependent:
            assert leaf.default_text == display(leaf.value_in(Settings())), leaf.name


def test_a_default_survives_the_way_through_its_variable():
    for leaf in leaves():
        text = display(leaf.value_in(Settings()))
        if text:
            assert leaf.value_in(load({leaf.variable: text})) == leaf.value_in(Settings()), leaf.name


@pytest.mark.parametrize(
    ("ecosystem", "own", "name"),
    [
        ("CHUNK_SIZE", "FOREBAY_CHUNK_SIZE", "chunk_size"),
        ("MAX_BLOB_MB", "FOREBAY_MAX_BLOB_MB", "max_blob_mb"),
    ],
)
def test_a_variable_of_our_own_wins_over_the_name_of_the_ecosystem(ecosystem: str, own: str, name: str):
    leaf = next(leaf for leaf in leaves() if leaf.name == name)
    first = load({ecosystem: "400"})
    assert (leaf.value_in(first), first.origin(name)) == (400, f"environment {ecosystem}")
    both = load({ecosystem: "400", own: "500"})
    assert (leaf.value_in(both), both.origin(name)) == (500, f"environment {own}")


def test_the_other_ecosystem_names_are_honoured():
    settings = load(
        {"DEFAULT_PROJECT_ID": "acme", "INGESTION_CONTAINER": "incoming/contracts/", "LOG_LEVEL": "debug", "ENVIRONMENT": "prod"}
    )
    assert settings.default_project == "acme"
    assert (settings.intake.container, settings.intake.prefix) == ("incoming", "contracts/")
    assert (settings.log_level, settings.environment) == ("DEBUG", "prod")
    assert load({"DISABLE_OPENAI": "1", "FOREBAY_DISABLE_OPENAI": "1"}).warnings == ()


def test_the_command_line_wins_over_the_environment():
    settings = load({"FOREBAY_PORT": "9000"}, port=9001, host=None)
    assert (settings.server.port, settings.origin("port")) == (9001, "command line")
    assert settings.origin("host") == "default"


def test_the_environment_hides_what_the_env_file_says(tmp_path: Path):
    env_file = tmp_path / ".env"
    env_file.write_text("FOREBAY_PORT=9000\nexport FOREBAY_HOST='0.0.0.0'\nCHUNK_SIZE=300\n", encoding="utf-8")
    settings = load_settings({"FOREBAY_PORT": "9001"}, env_file=env_file)
    assert (settings.server.port, settings.origin("port")) == (9001, "environment FOREBAY_PORT")
    assert (settings.server.host, settings.origin("host")) == ("0.0.0.0", ".env")
    assert settings.chunking.chunk_size == 300


def test_an_env_file_in_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("FOREBAY_PORT=9000\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).server.port == 9000


def test_a_directory_called_env_is_no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_settings({}) == Settings()


def test_an_empty_variable_counts_as_not_set():
    assert load({"FOREBAY_PORT": "", "FOREBAY_EXCLUDE_NOISE": "", "FOREBAY_API_KEY": ""}) == Settings()


def test_lists_are_split_and_none_empties_them():
    settings = load({"FOREBAY_WATCH": f"/a{os.pathsep}/b c", "FOREBAY_INCLUDE": "*.md, docs/", "FOREBAY_EXCLUDE_NOISE": "none"})
    assert settings.intake.watch == (Path("/a"), Path("/b c"))
    assert settings.intake.include == ("*.md", "docs/")
    assert settings.intake.exclude_noise == ()
    assert load({}, watch=[Path("/with : colon")]).intake.watch == (Path("/with : colon"),)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("FOREBAY_PORT", "eighty", "a whole number from 0 to 65535"),
        ("FOREBAY_PORT", "70000", "a whole number from 0 to 65535"),
        ("CHUNK_SIZE", "0", "a whole number"),
        ("FOREBAY_PARSE_TIMEOUT_SECONDS", "nan", "a number from"),
        ("FOREBAY_CHUNKER", "clever", "one of auto, fixed"),
        ("FOREBAY_EMBEDDER", "word2vec", "one of minilm, mock"),
        ("FOREBAY_RESPECT_GITIGNORE", "maybe", "1 or 0"),
        ("FOREBAY_PUBLIC_URL", "forebay.example.org", "a URL such as"),
        ("FOREBAY_PUBLIC_URL", "http://[::1", "a URL such as"),
        ("FOREBAY_DATA_DIR", "~nobody-of-that-name/data", "a path whose home"),
        ("INGESTION_CONTAINER", "incoming/../failed/", "a container"),
        ("FOREBAY_DEFAULT_PROJECT", "two words", "letters, digits"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_variable(variable: str, value: str, expected: str):
    with pytest.raises(ForebayError) as caught:
        load({variable: value})
    assert caught.value.code == "invalid_setting"
    assert caught.value.message.startswith(f"{variable} expects {expected}")
    assert repr(value) in caught.value.message


def test_a_bad_value_from_the_command_line_is_named_as_its_option():
    with pytest.raises(ForebayError, match=re.escape("--chunk-size expects")):
        load({}, chunk_size=1)


def test_a_misspelt_variable_is_a_warning_with_the_nearest_name():
    settings = load({"FOREBAY_CHUNKSIZE": "3", "CHUNKSIZE": "3"})
    assert settings.warnings == ("FOREBAY_CHUNKSIZE is not a setting; the nearest one is FOREBAY_CHUNK_SIZE.",)


def test_a_secret_shows_only_when_asked_for():
    settings = load({"FOREBAY_API_KEY": "hunter2-hunter2"})
    assert settings.server.api_key == Secret("hunter2-hunter2")
    assert "hunter2" not in repr(settings) + str(settings.server.api_key) + display(settings.server.api_key)
    with pytest.raises(ForebayError) as caught:
        load({"FOREBAY_API_KEY": "hunter 2"})
    assert "hunter" not in caught.value.message


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().server.port = 1  # type: ignore[misc]


def test_derived_values_have_the_units_of_their_names():
    settings = Settings()
    assert settings.reading.max_blob_bytes == 10 * 1024 * 1024
    assert settings.engine.payload_limit_bytes == 64 * 1024
    assert settings.intake.settle_seconds == 0.2
    assert load({"FOREBAY_HOST": "::1"}).server.url == "http://[::1]:8000"
    assert load({"FOREBAY_PUBLIC_URL": "https://forebay.example.org/"}).server.url == "https://forebay.example.org"


@pytest.mark.parametrize("embedder", ["openai", "azure", "openai-compatible"])
def test_remote_models_can_be_forbidden_and_the_local_one_then_embeds(embedder: str):
    allowed = load({"FOREBAY_EMBEDDER": embedder, "DISABLE_OPENAI": "0"})
    assert (allowed.embedding.embedder_in_force, allowed.warnings) == (embedder, ())
    forbidden = load({"FOREBAY_EMBEDDER": embedder, "DISABLE_OPENAI": "1"})
    assert forbidden.embedding.embedder_in_force == "minilm"
    (warning,) = forbidden.warnings
    assert warning.startswith(f"FOREBAY_EMBEDDER={embedder} is not used, because DISABLE_OPENAI=1")
    assert load({"FOREBAY_EMBEDDER": "mock", "DISABLE_OPENAI": "1"}).embedding.embedder_in_force == "mock"


def test_the_names_of_openai_and_azure_are_honoured():
    embedding = load(
        {
            "OPENAI_API_KEY": "sk-secret-1",
            "OPENAI_BASE_URL": "http://localhost:11434/v1/",
            "AZURE_OPENAI_ENDPOINT": "https://acme.openai.azure.com/",
            "AZURE_OPENAI_API_KEY": "secret-2",
            "EMBEDDING_MODEL_DEPLOYMENT_NAME": "embeddings",
            "OPENAI_API_VERSION": "2023-05-15",
            "AZURE_OPENAI_API_VERSION": "2024-06-01",
        }
    ).embedding
    assert (embedding.embedding_url, embedding.azure_openai_endpoint) == ("http://localhost:11434/v1", "https://acme.openai.azure.com")
    assert (embedding.openai_api_key, embedding.azure_openai_api_key) == (Secret("sk-secret-1"), Secret("secret-2"))
    assert (embedding.embedding_model, embedding.azure_openai_api_version) == ("embeddings", "2024-06-01")
    assert "secret" not in repr(embedding)


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(ForebayError) as caught:
        load({"OPENAI_BASE_URL": "https://user:hunter2@example.org/v1"})
    assert "without user name and password" in caught.value.message
    assert "hunter2" not in caught.value.message


@given(st.sampled_from([leaf.variable for leaf in leaves()]), st.text(max_size=40))
def test_any_text_is_either_a_value_or_an_invalid_setting(variable: str, text: str):
    try:
        load({variable: text})
    except ForebayError as error:
        assert error.code == "invalid_setting"
