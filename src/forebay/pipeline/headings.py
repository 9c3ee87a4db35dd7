"""Which headings of a Markdown text a position stands under.

A scan of lines, not a parse: headings inside of lists and quotes are not counted, those inside of fenced code are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_TITLE_LIMIT_CHARACTERS = 200
# a fence, a heading with marks, or the line below a heading
_LINE = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)|(?P<marks>#{1,6})(?:[ \t]+(?P<title>[^\n]*))?\r?$|(?P<below>=+|-+)[ \t]*\r?$)",
    re.MULTILINE,
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?:[^\n]*\n){0,200}?(?:---|\.\.\.)[ \t]*\r?(?:\n|\Z)")
_NO_PARAGRAPH = re.compile(r"[ \t]*(?:$|[-+*>|#=]|\d+[.)][ \t]|`{3}|~{3})| {4}|\t")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_MARKUP = re.compile(r"\\([!-/:-@\[-`{-~])|[*`]+")


def heading_paths(text: str, positions: Sequence[int]) -> list[tuple[str, ...] | None]:
    """For each of the increasing `positions` the headings above it, outermost first; a heading stands under itself."""
    found: list[tuple[str, ...] | None] = []
    upcoming = markdown_headings(text)
    heading = next(upcoming, None)
    path: list[tuple[int, str]] = []  # level, title
    for position in positions:
        while heading is not None and heading[0] <= position:
            _, level, title = heading
            path = [above for above in path if above[0] < level]
            if title:
                path.append((level, title))
            heading = next(upcoming, None)
        found.append(tuple(title for _, title in path) or None)
    return found


def markdown_headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, level and title of each heading."""
    fence = ""
    front = _FRONT_MATTER.match(text)
    for match in _LINE.finditer(text, front.end() if front else 0):
        if match["fence"]:
            if not fence:
                if match["fence"][0] != "`" or "`" not in match["info"]:
                    fence = match["fence"]
            elif match["fence"].startswith(fence) and not match["info"].strip():
                fence = ""
        elif fence:
            continue
        elif match["marks"]:
            yield match.start(), len(match["marks"]), _plain(re.sub(r"(?:^|[ \t])#+[ \t\r]*$", "", match["title"] or ""))
        else:
            start = text.rfind("\n", 0, max(0, match.start() - 1)) + 1
            above = text[start : match.start()].rstrip()
            if match.start() and above and "\n" not in above and not _NO_PARAGRAPH.match(above):
                yield start, 1 if match["below"][0] == "=" else 2, _plain(above)


def _plain(title: str) -> str:
    """A title without the marks for links, emphasis and code."""
    shown = _MARKUP.sub(lambda found: found[1] or "", _LINK.sub(r"\1", title[: 4 * _TITLE_LIMIT_CHARACTERS]))
    return " ".join(shown.split())[:_TITLE_LIMIT_CHARACTERS]
