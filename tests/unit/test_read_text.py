from __future__ import annotations

import io
import time

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from forebay.pipeline.formats import Format, format_of_name
from forebay.pipeline.read_text import DecodedText, decode_text, read_text
from forebay.pipeline.refused import Refused

GERMAN = "Der Müller fährt über die Brücke nach Köln, weil er dort größere Möglichkeiten sieht."
RUSSIAN = "Привет, мир! Это обычный текст на русском языке, который должен быть распознан правильно."
JAPANESE = "これは日本語のテキストです。文字コードの判定がうまくいくかどうかを確認します。"
CHINESE = "这是一个中文文本，用来测试编码检测是否正确。我们希望结果是合理的。"  # noqa: RUF001
KOREAN = "이것은 한국어 텍스트입니다. 인코딩 감지가 잘 되는지 확인합니다."


def known(name: str) -> Format:
    found = format_of_name(name)
    assert found is not None
    return found


def pdf_bytes(*lines: str, encrypt: object = None) -> bytes:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, encrypt=encrypt)
    for number, line in enumerate(lines):
        page.drawString(72, 700 - 20 * number, line)
    page.showPage()
    page.save()
    return buffer.getvalue()


def reason_of(name: str, data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        read_text(known(name), data)
    return caught.value.reason


def test_utf_8_is_read_as_it_is_and_not_guessed() -> None:
    text = "a\r\nb\rc\n\tGröße 👩‍👧\u2028 end"
    assert decode_text(text.encode()) == DecodedText(text=text, encoding="utf-8")


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8-sig", "utf-8"), ("utf-16", "utf-16-le"), ("utf-32", "utf-32-le")],
)
def test_a_byte_order_mark_settles_the_encoding_and_is_removed(encoding: str, name: str) -> None:
    assert decode_text(RUSSIAN.encode(encoding)) == DecodedText(text=RUSSIAN, encoding=name)


def test_big_endian_marks_are_known() -> None:
    assert decode_text(b"\xfe\xff" + GERMAN.encode("utf-16-be")).text == GERMAN
    assert decode_text(b"\x00\x00\xfe\xff" + GERMAN.encode("utf-32-be")).text == GERMAN


def test_utf_16_that_begins_with_a_nul_is_not_taken_for_utf_32() -> None:
    decoded = decode_text("\ufeff\0ab".encode("utf-16-le"))
    assert (decoded.text, decoded.encoding) == ("\0ab", "utf-16-le")


@pytest.mark.parametrize(
    ("text", "encoding", "guess"),
    [
        ("café", "latin-1", "cp1252"),
        (GERMAN, "latin-1", "cp1252"),
        ("The price is 20 € – “quoted” text’s end…", "cp1252", "cp1252"),  # noqa: RUF001
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8_r", "koi8_r"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (CHINESE, "gb18030", "gb18030"),
        (KOREAN, "euc_kr", "cp949"),
    ],
)
def test_legacy_encodings_are_guessed_and_said_to_be(text: str, encoding: str, guess: str) -> None:
    assert decode_text(text.encode(encoding)) == DecodedText(text=text, encoding=guess, guessed=True)


def test_one_accent_behind_megabytes_of_ascii_is_found_in_bounded_time() -> None:
    data = b"plain ascii line\n" * 500_000 + GERMAN.encode("latin-1")
    began = time.perf_counter()
    decoded = decode_text(data)
    assert decoded.text.endswith(GERMAN)
    assert time.perf_counter() - began < 2


def test_broken_bytes_in_utf_8_are_counted_and_do_not_turn_the_rest_into_something_else() -> None:
    data = (RUSSIAN * 3).encode() + b"\xff\xfe" + RUSSIAN.encode()[:-1]
    decoded = decode_text(data)
    assert decoded.text.startswith(RUSSIAN * 3)
    assert (decoded.encoding, decoded.guessed) == ("utf-8", True)
    assert decoded.replaced_count == decoded.text.count("\ufffd") == 2


def test_a_replacement_character_that_was_in_the_file_is_not_counted() -> None:
    decoded = decode_text(("\ufffd" + RUSSIAN).encode() + b"\xff")
    assert decoded.text.count("\ufffd") == 2
    assert decoded.replaced_count == 1


def test_bytes_that_fit_no_encoding_are_undecodable() -> None:
    noise = bytes((index * index * 31 + index * 7) % 128 + 128 for index in range(4000))
    with pytest.raises(Refused) as caught:
        decode_text(noise)
    assert caught.value.reason == "undecodable"


def test_a_declared_encoding_is_better_than_a_guess() -> None:
    hebrew = "זהו טקסט בעברית".encode("cp1255")
    assert read_text(known("a.txt"), hebrew, "text/plain; charset=windows-1255") == DecodedText(text="זהו טקסט בעברית", encoding="cp1255")
    cookie = b"# -*- coding: koi8-r -*-\n# " + "Да".encode("koi8_r")
    assert read_text(known("a.py"), cookie).text.endswith("Да")
    page = b'<html><head><meta charset="shift_jis"></head><body>' + "日本".encode("shift_jis")
    assert "日本" in read_text(known("a.html"), page).text


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "hex", "no-such-thing", "utf-8"])
def test_a_declared_encoding_that_does_not_fit_is_ignored(charset: str) -> None:
    decoded = read_text(known("a.txt"), GERMAN.encode("latin-1"), f"text/plain; charset={charset}")
    assert (decoded.text, decoded.guessed) == (GERMAN, True)


@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_become_text_without_surrogates_or_are_undecodable(data: bytes) -> None:
    try:
        decoded = decode_text(data)
    except Refused as refused:
        assert refused.reason == "undecodable"
    else:
        decoded.text.encode("utf-8")
        assert 0 <= decoded.replaced_count <= decoded.text.count("\ufffd")


@given(st.text(min_size=1).filter(lambda text: not text.startswith("\ufeff")))
def test_any_text_in_utf_8_comes_back_unchanged(text: str) -> None:
    assert decode_text(text.encode()) == DecodedText(text=text, encoding="utf-8")


def test_a_page_becomes_its_title_and_text_without_scripts() -> None:
    page = (
        "<html><head><title>Tides &amp;\n moons</title><meta name='description' content='hidden'>"
        "<script>var secret = 1</script></head><body><h2>Spring</h2><p>High <b>water</b> at noon.</p>"
        "<img alt='x' src='data:image/png;base64,AAAABBBB'></body></html>"
    )
    text = read_text(known("a.html"), page.encode()).text
    assert text.startswith("# Tides & moons\n\n## Spring")
    assert "High **water** at noon." in text
    for hidden in ("secret", "hidden", "AAAABBBB", "---"):
        assert hidden not in text


def test_a_pdf_becomes_its_text() -> None:
    decoded = read_text(known("a.pdf"), pdf_bytes("Quarterly revenue rose", "in spring."))
    assert decoded.encoding is None
    assert decoded.text.split("\n") == ["Quarterly revenue rose", "in spring."]


def test_a_pdf_that_only_restricts_printing_can_be_read() -> None:
    data = pdf_bytes("open to all", encrypt=StandardEncryption("", ownerPassword="owner"))
    assert "open to all" in read_text(known("a.pdf"), data).text


def test_a_pdf_with_a_password_is_encrypted() -> None:
    assert reason_of("a.pdf", pdf_bytes("secret", encrypt=StandardEncryption("password"))) == "encrypted"


def test_half_a_pdf_is_corrupt() -> None:
    assert reason_of("a.pdf", pdf_bytes("whole")[:500]) == "corrupt"


def test_a_docx_becomes_markdown() -> None:
    document = docx.Document()
    document.add_heading("Minutes", 1)
    document.add_paragraph("All agreed on snake_case.")
    buffer = io.BytesIO()
    document.save(buffer)
    assert read_text(known("a.docx"), buffer.getvalue()).text == "# Minutes\n\nAll agreed on snake_case.\n"
