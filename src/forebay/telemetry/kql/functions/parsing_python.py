"""Parsers of URLs, CSV, paths and command lines, row by row. None of them fails: what is not of the form gives empty parts or None."""

from __future__ import annotations

import re

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*+)://(?:(?P<user>[^:@/?#]*+):(?P<password>[^@/?#]*+)@)?"
    r"(?P<host>\[[^\]]*+\]|[^:/?#]*+)(?::(?P<port>[0-9]*+))?(?P<path>[^?#]*+)(?:\?(?P<query>[^#]*+))?(?:\#(?P<fragment>.*+))?",
    re.DOTALL,
)
_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def parse_url(url: str | None) -> dict[str, object]:
    """The parts of a URL as they are written, each '' where there is none; what comes before `@` counts only with a `:` in it."""
    found = _URL.fullmatch(url or "")
    part = {key: value or "" for key, value in found.groupdict().items()} if found else dict.fromkeys(_URL.groupindex, "")
    path = "" if part["path"] == "/" and (url or "").endswith("/") else part["path"]
    return {
        "Scheme": part["scheme"],
        "Host": part["host"],
        "Port": part["port"],
        "Path": path,
        "Username": part["user"],
        "Password": part["password"],
        "Query Parameters": _parameters(part["query"]),
        "Fragment": part["fragment"],
    }


def parse_urlquery(query: str | None) -> dict[str, object]:
    """The parameters by their names."""
    return {"Query Parameters": _parameters(query or "")}


def _parameters(query: str) -> dict[str, str | list[str]]:
    """Sorted by name; those that come more than once as an array, those without name or value not at all."""
    values: dict[str, list[str]] = {}
    for each in query.split("&"):
        name, _, value = each.partition("=")
        if name and value:
            values.setdefault(name, []).append(value)
    return {name: values[name] if len(values[name]) > 1 else values[name][0] for name in sorted(values)}


def parse_csv(text: str | None) -> list[str]:
    """The values of the first record. Quotes may hold commas, line breaks, and quotes written twice."""
    text = text or ""
    values: list[str] = []
    at = 0
    while True:
        if text.startswith('"', at):
            value, at = _quoted_value(text, at + 1)
        else:
            value = ""
        end = min((place for place in (text.find(each, at) for each in ",\r\n") if place >= 0), default=len(text))
        values.append(value + text[at:end])
        if not text.startswith(",", end):
            return values
        at = end + 1


def _quoted_value(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    while True:
        end = text.find('"', at)
        if end < 0:
            return "".join(parts) + text[at:], len(text)
        parts.append(text[at:end])
        if not text.startswith('"', end + 1):
            return "".join(parts), end + 1
        parts.append('"')
        at = end + 2


def parse_path(path: str | None) -> dict[str, str]:
    """The parts of a path, of Windows or Unix, with a scheme, a drive, an alternate data stream, each '' where there is none."""
    rest = path or ""
    scheme = _SCHEME.match(rest)
    if scheme:
        rest = rest[scheme.end() :]
    start = 4 if rest.startswith("\\\\?\\") else 0
    drive = _DRIVE.match(rest, start)
    last = max(rest.rfind("/"), rest.rfind("\\"))
    directory, name = (rest[:last], rest[last + 1 :]) if last >= 0 else ("", rest)
    file, _, stream = name.partition(":") if not (drive and last < 0) else (name, "", "")
    folder = directory[max(directory.rfind("/"), directory.rfind("\\")) + 1 :]
    return {
        "Scheme": scheme[1] if scheme else "",
        "RootPath": drive[0] if drive else "",
        "DirectoryPath": directory,
        "DirectoryName": "" if drive and folder == drive[0] else folder,
        "Filename": file,
        "Extension": file.rpartition(".")[2] if "." in file else "",
        "AlternateDataStreamName": stream,
    }


def parse_command_line(command: str | None, parser: str | None) -> list[str] | None:
    """The arguments as Windows' `CommandLineToArgvW` parts them."""
    if (parser or "").lower() != "windows" or not command:
        return None
    if command[0] == '"':  # the first argument is a program: backslashes are not special in it
        first, _, rest = command[1:].partition('"')
    else:
        first = re.match(r"[^ \t]*", command)[0]  # type: ignore[index]
        rest = command[len(first) :]
    return [first, *_arguments(rest.lstrip(" \t"))]


def _arguments(text: str) -> list[str]:
    arguments: list[str] = []
    at = 0
    while at < len(text):
        argument, at = _argument(text, at)
        arguments.append(argument)
        while text.startswith((" ", "\t"), at):
            at += 1
    return arguments


def _argument(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    is_quoted = False
    while at < len(text):
        character = text[at]
        if character == "\\":
            count = len(text) - at - len(text[at:].lstrip("\\"))
            at += count
            if text.startswith('"', at):
                parts.append("\\" * (count // 2))
                if count % 2:
                    parts.append('"')
                    at += 1
            else:
                parts.append("\\" * count)
        elif character == '"':
            if is_quoted and text.startswith('"', at + 1):
                parts.append('"')
                at += 1
            is_quoted = not is_quoted
            at += 1
        elif character in " \t" and not is_quoted:
            break
        else:
            parts.append(character)
            at += 1
    return "".join(parts), at
