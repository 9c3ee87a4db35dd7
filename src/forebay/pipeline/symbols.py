"""Which definition a position in a source file lies in.

A scan of a few regular expressions, not a parse: it costs a fraction of what a second tree-sitter parse would, and works
on files that do not parse. Python's blocks are told by indentation, JavaScript's by braces; strings, comments and
regular expression literals are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_NAME_LIMIT_CHARACTERS = 400
_Definition = tuple[int, int, str]  # start, end (code points, half open), dotted name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What one scan of a source file finds; positions are code points."""

    definitions: list[_Definition] = field(default_factory=list)
    names: list[_Definition] = field(default_factory=list)  # the same, but with the span of the bare name
    imports: list[int] = field(default_factory=list)  # where Python's import statements begin


_PYTHON_LINE = re.compile(
    r'''
    ^(?P<indent>[ \t\f]*+)
    (?: (?P<decorator>@)(?=\w)
      | (?:async[ \t]++)?(?:def|class)[ \t]++(?P<name>\w++)
      | (?P<continued>(?=[)\]}"'\d.,]))
      | (?P<blank>(?=[\#\r\n]))
      | (?P<imported>(?=(?:from|import)[ \t]))
      | )
    (?: [^"'\#\n\\]++
      | """(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)
      | \'\'\'(?:[^'\\]|\\.|'(?!''))*+(?:\'\'\'|\Z)
      | "(?:[^"\\\n]|\\.)*+"
      | '(?:[^'\\\n]|\\.)*+'
      | \\.
      | \#[^\n]*+
      | ["'\\]
    )*+
    ''',
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)


def python_outline(text: str) -> Outline:
    """Definitions, their names, and imports, none of them in strings. A decorator belongs to what it decorates."""
    outline = Outline()
    found = outline.definitions
    open_blocks: list[tuple[int, int, str]] = []  # indentation, start, dotted name
    open_indent = -1  # of the innermost block
    decorated_from, decorator_indent = -1, 0  # -1: nothing is decorated
    code_end = 0
    for match in _PYTHON_LINE.finditer(text):
        kind = match.lastgroup
        if kind == "blank":
            continue
        start, end = match.span()
        # no statement begins with these, or hardly any: the line continues the one before it, inside of brackets
        if kind != "continued":
            indent = match.end(1) - start
            while indent <= open_indent and end > start:
                _, opened_at, name = open_blocks.pop()
                found.append((opened_at, code_end, name))
                open_indent = open_blocks[-1][0] if open_blocks else -1
            if kind == "decorator":
                if decorated_from < 0:
                    decorated_from, decorator_indent = start, indent
            elif kind == "name":
                name = _dotted(open_blocks[-1][2] if open_blocks else "", match["name"])
                open_blocks.append((indent, start if decorated_from < 0 else decorated_from, name))
                outline.names.append((*match.span("name"), name))
                open_indent, decorated_from = indent, -1
            elif indent <= decorator_indent:
                decorated_from = -1
            if kind == "imported":
                outline.imports.append(start + indent)
        code_end = end
    found.extend((opened_at, code_end, name) for _, opened_at, name in open_blocks)
    return outline


_JAVASCRIPT_TOKEN = re.compile(
    r"""
      //[^\n]*+ | /\*.*?(?:\*/|\Z)
    | "(?:[^"\\\n]|\\.)*+" | '(?:[^'\\\n]|\\.)*+'
    | (?P<template>`)
    | (?: (?<![\w$)\]}"'`<\s]) | \b(?:return|typeof|case|in|of|throw|else|await|yield)(?=[\s/]) ) \s*+
      /(?![*/]) (?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.){0,200}+\]){1,500}+ /[a-z]*+
    | \bclass\s++(?!extends\b)(?P<class_name>[\w$]++)
    | (?<![\w$])(?P<assigned>[\w$]++)\s*+ [=:]\s*+ (?:async\b\s*+)? (?=function\b|class\b|\(|[\w$]++\s*+=>)
    | \bfunction\b\s*+ \*?\s*+ (?P<function>[\w$]*+) (?=\s*+\()
    | (?<![\w$])(?P<called>[\w$]++) (?=\s*+\()
    | (?P<mark>[(){};]|=>)
    """,
    re.DOTALL | re.VERBOSE,
)
_TEMPLATE_REST = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*+(`|\$\{|\Z)", re.DOTALL)
_NOT_METHODS = frozenset({"if", "for", "while", "switch", "catch", "with", "return", "await", "typeof", "super"})
_MODIFIERS = re.compile(r"[\w$.*#\s]*")
_MODIFIERS_WITHIN_CHARACTERS = 200

_Head = tuple[str, str, int, int]  # kind of token, name, start, start of the name


def javascript_outline(text: str) -> Outline:
    """Functions, classes, methods, and functions assigned to a name, with their names."""
    outline = Outline()
    found = outline.definitions
    brackets: list[tuple[str, _Head | None]] = []  # the bracket, and what it belongs to
    names: list[str] = []  # dotted names of the bodies that are open
    head: _Head | None = None  # what the next bracket belongs to
    class_head: tuple[_Head, int] | None = None  # a class before its body, and the depth it stands at
    position = 0
    while match := _JAVASCRIPT_TOKEN.search(text, position):
        position = match.end()
        kind = match.lastgroup
        token = match[0]
        if kind == "mark" and token == "(":
            brackets.append(("(", head))
            head = None
        elif kind == "mark" and token == ")":
            head = brackets.pop()[1] if brackets and brackets[-1][0] == "(" else None
            if head is not None:
                # until now the name waited for its parameters; now it waits for `{` or `=>`
                head = ("parameters" if head[0] != "assigned" else "maybe_arrow", *head[1:])
        elif kind == "mark" and token == "=>":
            head = ("arrow", *head[1:]) if head is not None and head[0] in ("assigned", "maybe_arrow") else None
        elif kind == "mark" and token == "{":
            if class_head is not None and class_head[1] == len(brackets):
                head, class_head = class_head[0], None
            owner = head if head is not None and head[0] != "maybe_arrow" else None
            if owner is not None:
                names.append(_dotted(names[-1] if names else "", owner[1]))
            brackets.append(("{", owner))
            head = None
        elif kind == "mark" and token == "}":
            while brackets and brackets[-1][0] == "(":
                brackets.pop()
            opened, owner = brackets.pop() if brackets else ("", None)
            if owner is not None:
                name = names.pop()
                found.append((_with_modifiers(text, owner[2]), position, name))
                outline.names.append((owner[3], owner[3] + len(owner[1]), name))
            head = None
            if opened == "${":
                position = _skip_template(text, position, brackets)
        elif kind == "template":
            position = _skip_template(text, position, brackets)
        elif kind == "class_name":
            class_head = (("class", match["class_name"], match.start(), match.start("class_name")), len(brackets))
        elif kind == "assigned":
            head = ("assigned", match["assigned"], match.start(), match.start())
        elif kind == "function":
            if head is not None and head[0] == "assigned":
                head = ("function", *head[1:])
            else:
                name = match["function"]
                head = ("function", name, match.start(), match.start("function")) if name else None
        elif kind == "called":
            head = None if token in _NOT_METHODS else ("called", token, match.start(), match.start())
        elif kind == "mark":
            head = None
    return outline


def _skip_template(text: str, position: int, brackets: list[tuple[str, _Head | None]]) -> int:
    """Go past the text of a template literal, to its end or to a `${` in it."""
    rest = _TEMPLATE_REST.match(text, position)
    if rest is None:
        return len(text)
    if rest[1] == "${":
        brackets.append(("${", None))
    return rest.end()


def _with_modifiers(text: str, start: int) -> int:
    """Where the line begins if nothing but words like `export const` stands before `start`."""
    line_start = text.rfind("\n", max(0, start - _MODIFIERS_WITHIN_CHARACTERS), start) + 1
    if line_start == 0 and start > _MODIFIERS_WITHIN_CHARACTERS:
        return start
    return line_start if _MODIFIERS.fullmatch(text, line_start, start) else start


def _dotted(outer: str, name: str) -> str:
    """A name below another; what is nested too deep to be of use keeps the outer name."""
    if len(outer) + len(name) >= _NAME_LIMIT_CHARACTERS:
        return outer or name[:_NAME_LIMIT_CHARACTERS]
    return f"{outer}.{name}" if outer else name


_OUTLINES: dict[str, Callable[[str], Outline]] = {"python": python_outline, "javascript": javascript_outline}


def outline_of(text: str, format_name: str) -> Outline | None:
    """The outline of source code; None for formats whose code is not scanned."""
    scan = _OUTLINES.get(format_name)
    return None if scan is None else scan(text)


def names_at(outline: Outline, positions: Sequence[int]) -> list[str | None]:
    """For each of the increasing `positions` the name of the innermost definition around it: one sweep."""
    definitions = sorted(outline.definitions, key=lambda definition: (definition[0], -definition[1]))
    names: list[str | None] = []
    open_ends: list[tuple[int, str]] = []
    upcoming = 0
    for position in positions:
        while upcoming < len(definitions) and definitions[upcoming][0] <= position:
            start, end, name = definitions[upcoming]
            while open_ends and open_ends[-1][0] <= start:
                open_ends.pop()
            open_ends.append((end, name))
            upcoming += 1
        while open_ends and open_ends[-1][0] <= position:
            open_ends.pop()
        names.append(open_ends[-1][1] if open_ends else None)
    return names
