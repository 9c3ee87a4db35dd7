from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipeline.symbols import javascript_outline, names_at, python_outline


def python_symbols(text: str, positions: Sequence[int]) -> list[str | None]:
    return names_at(python_outline(text), positions)


def javascript_symbols(text: str, positions: Sequence[int]) -> list[str | None]:
    return names_at(javascript_outline(text), positions)


PYTHON = """
import os

class Tank(Base):
    level = 1

    @property
    @cached(
        size=3,
    )
    def height(self):
        '''Das Größte
def not_a_definition(): pass
'''
        query = (
"select"
1, 2
)
        return query  # def comment():

    # a note between methods
    async def fill(self, text="}"):
        def inner():
            return r"\\"
        if inner():
            return 1

# between
if os.name:
    outside = 1

def drain(
    gate,
):
    return gate \\
+ 1
last = 2
"""

JAVASCRIPT = """
import x from 'y';

export default class Pump extends Base {
  static async start({ force } = {}) {
    const pattern = /}{"'`/g;
    return `level ${this.level(() => { return 1; })} {`;
  }
  get level() {
    if (this.a) { return 1; }
  }
}

export const drain = async (gate) => {
  gate.open();
};

function plain(a, b) {
  // } not the end
  return a / b / 2;
}

exports.fill = function () {
  call(one);
};

after();
"""


def symbols(scan: Callable[[str, Sequence[int]], list[str | None]], text: str, *markers: str) -> list[str | None]:
    for marker in markers:
        assert text.count(marker) == 1, marker
    return scan(text, [text.index(marker) for marker in markers])


@pytest.mark.parametrize(
    ("marker", "symbol"),
    [
        ("import os", None),
        ("class Tank", "Tank"),
        ("level = 1", "Tank"),
        ("@property", "Tank.height"),
        ("size=3", "Tank.height"),
        ("def height", "Tank.height"),
        ("def not_a_definition", "Tank.height"),
        ("1, 2", "Tank.height"),
        ("return query", "Tank.height"),
        ("# a note", "Tank"),
        ("async def fill", "Tank.fill"),
        ("def inner", "Tank.fill.inner"),
        ("if inner", "Tank.fill"),
        ("# between", None),
        ("outside = 1", None),
        ("gate,", "drain"),
        ("return gate", "drain"),
        ("+ 1", "drain"),
        ("last = 2", None),
    ],
)
def test_python_positions_lie_in_the_innermost_definition(marker: str, symbol: str | None) -> None:
    assert symbols(python_symbols, PYTHON, marker) == [symbol]


def test_many_positions_are_answered_in_one_sweep() -> None:
    markers = ("import os", "level = 1", "def inner", "if inner", "outside = 1", "return gate")
    assert symbols(python_symbols, PYTHON, *markers) == [None, "Tank", "Tank.fill.inner", "Tank.fill", None, "drain"]


def test_python_that_does_not_parse_has_symbols_still() -> None:
    text = "def broken(:\n    x = (\n\ndef after():\n    return 'unclosed\n"
    assert symbols(python_symbols, text, "x = (", "return") == ["broken", "after"]


@pytest.mark.parametrize(
    ("marker", "symbol"),
    [
        ("import x", None),
        ("export default class", "Pump"),
        ("static async start", "Pump.start"),
        ("const pattern", "Pump.start"),
        ("return `level", "Pump.start"),
        ("get level()", "Pump.level"),
        ("if (this.a)", "Pump.level"),
        ("return 1; }\n  }", "Pump.level"),
        ("export const drain", "drain"),
        ("gate.open", "drain"),
        ("function plain", "plain"),
        ("return a / b", "plain"),
        ("exports.fill", "fill"),
        ("call(one)", "fill"),
        ("after()", None),
    ],
)
def test_javascript_positions_lie_in_the_innermost_definition(marker: str, symbol: str | None) -> None:
    assert symbols(javascript_symbols, JAVASCRIPT, marker) == [symbol]


def test_names_stay_bounded_however_deep_the_nesting() -> None:
    for scan, text in ((javascript_symbols, "a(){" * 50_000 + "}" * 50_000), (python_symbols, "class " + "x" * 100_000 + ":\n  y = 1\n")):
        names = scan(text, [100, len(text) // 2])
        assert max(len(name) for name in names if name) <= 400


code = st.lists(
    st.sampled_from(
        ["def f", "class A", "(", ")", ":", "\n", "    ", "{", "}", "`", "${", "=>", "'", '"""', "/", "\\", "x = ", "function ", "#", "@d"]
    ),
    max_size=40,
).map("".join)


@given(code)
def test_broken_source_is_answered_for_every_position(text: str) -> None:
    for scan in (python_symbols, javascript_symbols):
        assert len(scan(text, range(len(text)))) == len(text)
