"""What functions and operators of texts answer."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from tests.kql.conversions import to_string
from tests.kql.declarations import Kinds, Values, typed
from tests.kql.values import Undefined

# texts


@typed("strcat")
def _strcat(kinds: Kinds, values: Values) -> str:
    return "".join(map(to_string, kinds, values))


@typed("strcat_delim")
def _strcat_delim(kinds: Kinds, values: Values) -> str:
    first, *texts = map(to_string, kinds, values)
    return first.join(texts)


@typed("strlen")
def _strlen(kinds: Kinds, values: Values) -> int:
    return len(values[0])


@typed("tolower")
def _tolower(kinds: Kinds, values: Values) -> str:
    return "".join(_one(each, each.lower()) for each in to_string(kinds[0], values[0]))


@typed("toupper")
def _toupper(kinds: Kinds, values: Values) -> str:
    return "".join(_one(each, each.upper()) for each in to_string(kinds[0], values[0]))


def _one(character: str, changed: str) -> str:
    return changed if len(changed) == 1 else character


@typed("reverse")
def _reverse(kinds: Kinds, values: Values) -> str:
    return to_string(kinds[0], values[0])[::-1]


@typed("substring")
def _substring(kinds: Kinds, values: Values) -> str:
    text, start = to_string(kinds[0], values[0]), values[1]
    length = values[2] if len(values) > 2 and values[2] is not None else len(text)
    if start is None or (len(values) > 2 and kinds[2] is not None and values[2] is None):
        raise Undefined("a part from nowhere")
    if start < -len(text) or length < 0:
        raise Undefined("a part before the beginning")
    first = start + len(text) if start < 0 else start
    return text[first : first + length]


@typed("split")
def _split(kinds: Kinds, values: Values) -> list[str]:
    text, delimiter = to_string(kinds[0], values[0]), values[1]
    parts = text.split(delimiter) if delimiter else [text]
    if len(values) < 3 or kinds[2] is None:
        return parts
    place = values[2]
    if place is None or place < 0:
        raise Undefined("a part before the first")
    return parts[place : place + 1]


@typed("replace_string")
def _replace_string(kinds: Kinds, values: Values) -> str:
    text, search, rewrite = values
    if search == "":
        raise Undefined("to replace nothing")
    return str(text).replace(search, rewrite)


@typed("trim")
def _trim(kinds: Kinds, values: Values) -> str:
    pattern, text = values
    return re.sub(f"(?:{pattern})\\Z", "", re.sub(f"\\A(?:{pattern})", "", text))


@typed("trim_start")
def _trim_start(kinds: Kinds, values: Values) -> str:
    return re.sub(f"\\A(?:{values[0]})", "", values[1])


@typed("trim_end")
def _trim_end(kinds: Kinds, values: Values) -> str:
    return re.sub(f"(?:{values[0]})\\Z", "", values[1])


@typed("extract")
def _extract(kinds: Kinds, values: Values) -> str:
    found = re.search(values[0], values[2], re.ASCII)
    return found[values[1]] if found else ""


@typed("replace_regex")
def _replace_regex(kinds: Kinds, values: Values) -> str:
    return re.sub(values[1], values[2], values[0], flags=re.ASCII)


@typed("indexof")
def _indexof(kinds: Kinds, values: Values) -> int:
    if any(kind is not None for kind in kinds[2:]):
        raise Undefined("from a place on")
    text, search = map(to_string, kinds[:2], values[:2])
    if search == "":
        raise Undefined("where nothing is")
    return text.find(search)


@typed("countof")
def _countof(kinds: Kinds, values: Values) -> int:
    if values[1] == "" or len(set(values[1])) < len(values[1]):
        raise Undefined("how often a text is in itself")
    return values[0].count(values[1])  # type: ignore[no-any-return]


@typed("strrep")
def _strrep(kinds: Kinds, values: Values) -> str:
    if values[1] is None or not 0 <= values[1] <= 1024:
        raise Undefined("so many times")
    delimiter = to_string(kinds[2], values[2]) if len(values) > 2 and kinds[2] is not None else ""
    return delimiter.join([to_string(kinds[0], values[0])] * values[1])


@typed("strcmp")
def _strcmp(kinds: Kinds, values: Values) -> int:
    return (values[0] > values[1]) - (values[0] < values[1])


@typed("matches regex")
def _matches(kinds: Kinds, values: Values) -> bool:
    return re.search(values[1], values[0], re.ASCII) is not None


# operators of texts: https://learn.microsoft.com/kusto/query/datatypes-string-operators


def _has(text: str, term: str, *, begins: bool = True, ends: bool = True) -> bool:
    """Whether a term is there: what is between characters that are neither letters nor digits."""
    if not term:
        raise Undefined("an empty term")
    if not term.isalnum():
        raise Undefined("a term with other characters")
    for found in re.finditer(f"(?={re.escape(term)})", text):
        before, after = text[: found.start()][-1:], text[found.start() + len(term) :][:1]
        if not (begins and before.isalnum()) and not (ends and after.isalnum()):
            return True
    return False


_SEARCHES: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, search: search in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "has": _has,
    "hasprefix": lambda text, term: _has(text, term, ends=False),
    "hassuffix": lambda text, term: _has(text, term, begins=False),
}


def _search(search: Callable[[str, str], bool], *, is_caseless: bool, is_negated: bool) -> Callable[[Kinds, Values], bool]:
    def answer(kinds: Kinds, values: Values) -> bool:
        text, wanted = (each.lower() for each in values) if is_caseless else values
        return search(text, wanted) is not is_negated

    return answer


for _name, _find in _SEARCHES.items():
    for _case_mark, _is_caseless in (("", True), ("_cs", False)):
        for _negation in ("", "!"):
            typed(f"{_negation}{_name}{_case_mark}")(_search(_find, is_caseless=_is_caseless, is_negated=_negation == "!"))
typed("=~")(_search(operator.eq, is_caseless=True, is_negated=False))
typed("!~")(_search(operator.eq, is_caseless=True, is_negated=True))


@typed("in~")
def _in_caseless(kinds: Kinds, values: Values) -> bool:
    if "dynamic" in kinds:
        raise Undefined("dynamic values without case")
    return values[0].lower() in [each.lower() for each in values[1:]]


@typed("!in~")
def _not_in_caseless(kinds: Kinds, values: Values) -> bool:
    return not _in_caseless(kinds, values)


@typed("has_any")
def _has_any(kinds: Kinds, values: Values) -> bool:
    if "dynamic" in kinds:
        raise Undefined("dynamic terms")
    return any(_has(values[0].lower(), each.lower()) for each in values[1:])


@typed("has_all")
def _has_all(kinds: Kinds, values: Values) -> bool:
    if "dynamic" in kinds:
        raise Undefined("dynamic terms")
    found = [_has(values[0].lower(), each.lower()) for each in values[1:]]
    return all(found)
