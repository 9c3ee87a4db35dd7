"""Which natural language a text is in, by its most frequent words or its script."""

from __future__ import annotations

import re
from collections import Counter

SAMPLE_CHARACTERS = 1500

# The most frequent function words of each language; those of several languages count for each of them.
_STOP_WORDS = {
    "en": "the of and to in is that it was for on are as with his they at be this have from or had by not but what were we when your "
    "can there which an their if will would about has been you i",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach "
    "wird bei einer um am sind noch wie einem über ich wir war einen zum oder nur vor",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont ou avec son aux cette ses mais "
    "comme on tout nous sa être fait leur elle deux ont je vous",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre este ya entre "
    "cuando todo esta ser son dos también fue había era muy",
    "it": "di che e la il un a per in una è mi sono non si le con i da lo ha ma come al del della dei nel alla più gli anche questo se "
    "delle ci dal o nella era essere ed loro ho",
    "pt": "de que e o a do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou ser quando "
    "muito há nos já está eu também só pelo pela até isso",
    "nl": "de van het een en in is dat op te zijn met voor niet aan er die als om ook maar naar dan bij nog uit door over wordt hij zij "
    "ze dit wat heeft of worden deze kan werd tot meer",
    "ru": "и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой от год так о для ты же все тот вы если "  # noqa: RUF001 - Russian
    "или его до как было есть был ее их",  # noqa: RUF001 - Russian
}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {
    word: tuple(language for language, words in _STOP_WORDS.items() if word in words.split())
    for word in {word for words in _STOP_WORDS.values() for word in words.split()}
}
_WORD = re.compile(r"[^\W\d_]+")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_HAN = re.compile("[\u4e00-\u9fff]")
_SCRIPT_RATIO_LIMIT = 0.15  # of the letters: below, the script is only quoted
_WORD_COUNT_LIMIT = 12
_DISTINCT_COUNT_LIMIT = 4
_SHARE_LIMIT = 0.2  # prose has 0.35 to 0.5 of its words in the list; lists, tables and code hardly any
_LEAD_LIMIT = 1.3  # over the next language: close relatives that are not listed reach two at once


def detect_language(text: str) -> tuple[str, float] | None:
    """(ISO 639-1 code, confidence) of the beginning of a text, None when it is not plain which.

    Knows en, de, fr, es, it, pt, nl and ru by words, ja, zh and ko by script.
    """
    sample = text[:SAMPLE_CHARACTERS]
    if not sample.isascii() and (by_script := _by_script(sample)):
        return by_script
    words = _WORD.findall(sample.lower())
    if len(words) < _WORD_COUNT_LIMIT:
        return None
    counts = Counter(words)
    hits = dict.fromkeys(_STOP_WORDS, 0)
    distinct = dict.fromkeys(_STOP_WORDS, 0)
    for word in counts.keys() & _LANGUAGES_OF.keys():
        for language in _LANGUAGES_OF[word]:
            hits[language] += counts[word]
            distinct[language] += 1
    (best, count), (_, next_count) = sorted(hits.items(), key=lambda each: -each[1])[:2]
    share = count / len(words)
    if share < _SHARE_LIMIT or distinct[best] < _DISTINCT_COUNT_LIMIT or count < _LEAD_LIMIT * next_count:
        return None
    return best, round(min(0.99, 0.5 + share), 2)


def _by_script(sample: str) -> tuple[str, float] | None:
    letter_count = sum(map(len, _WORD.findall(sample)))
    kana, hangul, han = (len(script.findall(sample)) for script in (_KANA, _HANGUL, _HAN))
    if kana + hangul + han < max(4, letter_count * _SCRIPT_RATIO_LIMIT):
        return None
    if hangul > kana + han:
        return "ko", 0.95
    if kana * 10 > han:
        return "ja", 0.95
    return "zh", 0.9
