"""`Parse`: the pattern is looked for text by text where it is made of texts, which is four times as fast as a regular expression."""

from __future__ import annotations

from forebay.telemetry.kql.binding import bound
from forebay.telemetry.kql.sql.generator import Generator, writes
from forebay.telemetry.kql.sql.literals import quoted_text
from forebay.telemetry.kql.sql.select import Select, Slot


@writes(bound.Parse)
def _parse(generator: Generator, relation: bound.Parse) -> Select:
    source, aliases = (below := generator.select(relation.source)).as_source()
    slots = {column.id: Slot(aliases[column.id], below.slots[column.id].is_nullable) for column in relation.source.columns}
    base = Select(source, relation.source.columns, slots)
    text = generator.writer(base).value(relation.text)
    if relation.regex is None:
        source, captures, matched = _split(generator, base.read(), text, relation)
    else:
        source, captures, matched = _matched(generator, base.read(), text, relation)
    made = relation.columns[len(relation.source.columns) :]
    for column, capture in zip(made, captures, strict=False):
        slots[column.id] = Slot(capture, True, is_name=False)
    slots[made[-1].id] = Slot(matched, False, is_name=False)
    return Select(source, relation.columns, slots)


def _split(generator: Generator, source: str, text: str, relation: bound.Parse) -> tuple[str, list[str], str]:
    """What to read, the captures and whether all was found. After each text that is found, the rest goes on; NULL where one is not."""
    rest = generator.hoisted_name()
    source = f"(SELECT *, {text} AS {rest} FROM {source})"
    captures: list[str] = []
    for index, split in enumerate(relation.splits):
        wanted, after = quoted_text(split.text), generator.hoisted_name()
        length = len(split.text)
        is_end = not relation.rest and index == len(relation.splits) - 1
        if not split.before:
            found = f"{rest} = {wanted}" if is_end else f"starts_with({rest}, {wanted})"
            layer = f"CASE WHEN {found} THEN substr({rest}, {length + 1}) END AS {after}"
        elif is_end:
            layer = f"CASE WHEN ends_with({rest}, {wanted}) THEN left({rest}, length({rest}) - {length}) END AS {after}"
        else:
            place = generator.hoisted_name()
            layer = f"strpos({rest}, {wanted}) AS {place}, CASE WHEN {place} > 0 THEN substr({rest}, {place} + {length}) END AS {after}"
            if split.before == "capture":
                captures.append(generator.hoisted_name())
                layer += f", left({rest}, {place} - 1) AS {captures[-1]}"
        source = generator.measured(f"(SELECT *, {layer} FROM {source})")
        rest = after
        if is_end and split.before == "capture":
            captures.append(rest)
    if relation.rest == "capture":
        captures.append(rest)
    return source, [each if each == rest else f"CASE WHEN {rest} IS NOT NULL THEN {each} END" for each in captures], f"{rest} IS NOT NULL"


def _matched(generator: Generator, source: str, text: str, relation: bound.Parse) -> tuple[str, list[str], str]:
    value, found = generator.hoisted_name(), generator.hoisted_name()
    pattern = quoted_text(relation.regex or "")
    count = len(relation.columns) - len(relation.source.columns) - 1
    names = ", ".join(f"'c{index}'" for index in range(count))
    source = f"(SELECT *, {text} AS {value} FROM {source})"
    if count:
        source = f"(SELECT *, regexp_extract({value}, {pattern}, [{names}]) AS {found} FROM {source})"
    matched = f"regexp_matches({value}, {pattern})"
    return source, [f"{found}.c{index}" for index in range(count)], matched
