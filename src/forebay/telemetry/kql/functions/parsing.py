"""What texts of known forms say: URLs, CSV, XML, paths, command lines, JSON paths.

Source: https://learn.microsoft.com/kusto/query/scalar-functions#string-functions
"""

from __future__ import annotations

import re

from forebay.telemetry.kql.errors import Diagnostic, KqlError
from forebay.telemetry.kql.functions import parsing_python, registry
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import operator, scalar
from forebay.telemetry.kql.functions.xml_python import parse_xml
from forebay.telemetry.kql.sql.literals import quoted_text

scalar(
    "parse_url(url: string) -> dynamic",
    None,
    "The parts of an absolute URL.",
    python=parsing_python.parse_url,
    aliases=("parseurl",),
)
scalar(
    "parse_urlquery(query: string) -> dynamic",
    None,
    "The parameters in the query of a URL.",
    python=parsing_python.parse_urlquery,
    aliases=("parseurlquery",),
)
scalar("parse_path(path: string) -> dynamic", None, "The parts of a path of a file.", python=parsing_python.parse_path)
scalar("parse_xml(xml: string) -> dynamic", None, "XML as a dynamic value; null if it is none.", python=parse_xml)
scalar(
    "parse_command_line(command: string, const parser: string) -> dynamic",
    None,
    "The arguments of a command line of Windows.",
    python=parsing_python.parse_command_line,
)

_CSV = operator("parse_quoted_csv(text: string) -> dynamic", "", "The values of the first record of CSV.", python=parsing_python.parse_csv)


def _parse_csv(text: Argument) -> str:
    quoted = f"regexp_matches({text.once}, '[\"\\r\\n]')"
    return f"CASE WHEN {quoted} THEN {_CSV.python_name}({text.once})::JSON ELSE to_json(string_split({text.once}, ',')) END"


scalar("parse_csv(text: string) -> dynamic", _parse_csv, "The values of the first record of CSV.", nulls="never")

_STEP = re.compile(r"\.(?P<name>[^.\[\]'\"*]+)|\[(?P<index>\d{1,9})\]|\['(?P<single>[^']+)'\]|\[\"(?P<double>[^\"]+)\"\]")


def _extract_json(path: Argument, text: Argument) -> str:
    return f"(TRY_CAST({text.raw} AS JSON) ->> {quoted_text(_json_path(path.value if path.is_constant else None))})"


def _json_path(path: str | None) -> str:
    if path is None or not path.startswith("$"):
        raise _path_error(path)
    at, steps = 1, "$"
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise _path_error(path)
        name = step["name"] or step["single"] or step["double"]
        if name is not None and ('"' in name or "\\" in name or name == "*"):
            raise _path_error(path)
        steps += f'."{name}"' if name is not None else f"[{step['index']}]"
        at = step.end()
    return steps


def _path_error(path: str | None) -> KqlError:
    message = f"expected a constant path such as $.name.items[0]['a key'], got {str(path)[:100]!r}"
    return KqlError(Diagnostic("type", message, 0, 0))


scalar(
    "extract_json(const path: string, json: string) -> string",
    _extract_json,
    "What is at a path of a JSON text, as text.",
    aliases=("extractjson",),
)

registry.REFUSED.update(
    {
        "parse_version": "its numbers have up to 32 digits, more than fit here; compare toint(split(version, '.')[0]) and so on",
        "parse_user_agent": "the patterns of browsers and devices that it goes by are not part of this program; use extract() or has",
    }
)
