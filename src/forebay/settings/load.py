"""Reads the settings from the command line, the environment and `.env`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from forebay.errors import ForebayError
from forebay.settings.leaf import PREFIX, Leaf
from forebay.settings.tree import Settings, leaves


def load_settings(
    environ: Mapping[str, str], overrides: Mapping[str, object] | None = None, *, env_file: Path | None = Path(".env")
) -> Settings:
    """Read the settings: command line, then environment, then `.env`, then defaults.

    A variable of the environment hides the same one in `.env`; among those that are left, `FOREBAY_<SETTING>` wins
    over the ecosystem's name. An empty variable counts as not set.

    `overrides` has values by setting name, as text or typed; those that are None are not given.

    Raises `ForebayError` `invalid_setting` that names the variable, what was expected and what came.
    """
    from_file = _read_env_file(env_file)
    variables = {name: text for name, text in {**from_file, **environ}.items() if text}
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    known = {leaf.name: leaf for leaf in leaves()}
    for name in given.keys() - known.keys():
        raise _invalid(name, "the name of a setting", name)

    values: dict[str, dict[str, object]] = {}
    origins: dict[str, str] = {}
    for leaf in known.values():
        variable = next((name for name in (leaf.variable, *leaf.aliases) if name in variables), None)
        if leaf.name in given:
            label, value, origin = f"--{leaf.name.replace('_', '-')}", given[leaf.name], "command line"
        elif variable is not None:
            label, value, origin = variable, variables[variable], f"environment {variable}" if environ.get(variable) else ".env"
        else:
            continue
        try:
            values.setdefault(leaf.group, {})[leaf.name] = leaf.convert(value)
        except ValueError as error:
            # a URL that is refused may hold a password
            is_secret = leaf.unit == "secret" or (leaf.unit == "URL" and "@" in str(value))
            raise _invalid(label, str(error), "a secret value" if is_secret else repr(value)) from None
        origins[leaf.name] = origin

    changed: dict[str, Any] = values.pop("", {})
    for group, replaced in values.items():
        changed[group] = dataclasses.replace(getattr(Settings(), group), **replaced)
    settings = Settings(**changed, origins=origins)
    return dataclasses.replace(settings, warnings=(*_unknown(variables, known.values()), *_forbidden(settings)))


def _invalid(label: str, expected: str, came: str) -> ForebayError:
    return ForebayError(
        "invalid_setting",
        f"{label} expects {expected}, but got {came}.",
        hint="See docs/configuration.md, or run `forebay settings`.",
        status=400,
    )


def _read_env_file(path: Path | None) -> dict[str, str]:
    if path is None or not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {name: text for name, text in dotenv_values(path, encoding="utf-8").items() if text is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise ForebayError("invalid_setting", f"{path} cannot be read: {error}.", hint="Fix or remove the file.") from error


def _forbidden(settings: Settings) -> Iterator[str]:
    if settings.embedding.is_remote_forbidden:
        yield (
            f"FOREBAY_EMBEDDER={settings.embedding.embedder} is not used, because DISABLE_OPENAI=1 forbids remote models;"
            f" {settings.embedding.embedder_in_force} embeds on this machine."
        )


def _unknown(variables: Mapping[str, str], known: Iterable[Leaf]) -> Iterator[str]:
    names = {name for leaf in known for name in (leaf.variable, *leaf.aliases)}
    for name in sorted(variables):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.0)
            yield f"{name} is not a setting; the nearest one is {near[0]}."
