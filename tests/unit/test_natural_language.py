# ruff: noqa: RUF001
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipeline.natural_language import detect_language

TEXTS = {
    "en": "The water of the lake flows through the gate and into the mill. When it is dry there is not enough of it for the wheel to turn.",
    "de": "Das Wasser des Sees fließt durch das Tor und in die Mühle. Ist es trocken, reicht es nicht, um das Rad zu drehen.",
    "fr": "L'eau du lac coule par la vanne et dans le moulin. Quand il fait sec, elle ne suffit pas pour faire tourner la roue.",
    "es": "El agua del lago pasa por la compuerta y llega al molino. Cuando el tiempo es seco no hay bastante para que la rueda gire.",
    "it": "L'acqua del lago passa per la chiusa e arriva al mulino. Quando il tempo è secco non è abbastanza per girare la ruota.",
    "pt": "A água do lago passa pela comporta e chega ao moinho. Quando o tempo está seco não há bastante para que a roda gire.",
    "nl": "Het water van het meer stroomt door de sluis en in de molen. Als het droog is, is er niet genoeg om het rad te draaien.",
    "ru": "Вода из озера течёт через ворота и на мельницу. Когда сухо, её не хватает, чтобы колесо вращалось, и мы ждём.",
    "ja": "湖の水は水門を通って水車に流れます。乾いた季節には足りません。",
    "zh": "湖水经过水闸流入磨坊。天旱的时候水不够，轮子不转。",
    "ko": "호수의 물은 수문을 지나 물레방아로 흐릅니다. 가물 때는 부족합니다.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_prose_is_told_by_its_language(language: str) -> None:
    found = detect_language(TEXTS[language])
    assert found is not None
    assert found[0] == language
    assert 0.5 < found[1] < 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the of and",
        "apple 1, pear 2, plum 3, cherry 4, quince 5, apple 6, pear 7, plum 8, cherry 9, quince 10, plum 11, pear 12, fig 13",
        "2024-01-01 INFO started port=80 host=a level=3 pid=1 status=ok " * 10,
        '{"name": "a", "value": 1, "list": [1, 2, 3], "nested": {"key": "value", "other": null}} ' * 5,
        "Vand fra søen løber gennem porten og ind i møllen. Når det er tørt, er der ikke nok til at dreje hjulet, og så venter man.",
        "Вода з озера тече крізь ворота до млина. Коли сухо, її бракує, щоб колесо оберталося, тому ми чекаємо дощу щодня, як і всі.",
        "the the the the the the the the the the the the the the the the the",
    ],
)
def test_what_is_not_plain_has_no_language(text: str) -> None:
    assert detect_language(text) is None


def test_a_quotation_in_another_script_does_not_decide() -> None:
    found = detect_language(TEXTS["en"] * 5 + "湖の水は水門")
    assert found is not None
    assert found[0] == "en"


@given(st.text(max_size=300))
def test_any_text_is_answered_and_always_the_same(text: str) -> None:
    assert detect_language(text) == detect_language(text)
