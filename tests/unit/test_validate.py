from __future__ import annotations

import gzip
import io
import zipfile

import docx
import pytest

from forebay.pipeline.formats import FORMATS, UNKNOWN_TEXT, Format, format_of_name
from forebay.pipeline.refused import Refused
from forebay.pipeline.validate import accept, check_content
from forebay.values.reasons import REASONS

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def accepted(name: str, content_type: str | None = None, *, size_bytes: int = 10, accept_unknown_text: bool = False) -> Format:
    return accept(name, content_type, size_bytes, max_blob_bytes=1000, accept_unknown_text=accept_unknown_text)


def reason_of_name(name: str, content_type: str | None = None, *, size_bytes: int = 10) -> str:
    with pytest.raises(Refused) as caught:
        accepted(name, content_type, size_bytes=size_bytes)
    return caught.value.reason


def known(name: str) -> Format:
    found = format_of_name(name)
    assert found is not None
    return found


def reason_of_content(name: str, data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        check_content(known(name), data)
    return caught.value.reason


def docx_bytes() -> bytes:
    document = docx.Document()
    document.add_paragraph("Hello")
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def docx_bomb(inflated_bytes: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"a" * inflated_bytes)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.txt", "text"),
        ("notes/A.MD", "markdown"),
        ("pkg/mod.py", "python"),
        ("x.mjs", "javascript"),
        ("d.jsonl", "json"),
        ("t.tsv", "csv"),
        ("p.htm", "html"),
        ("r.pdf", "pdf"),
        ("r.docx", "docx"),
        ("src/Makefile", "text"),
        ("LICENSE", "text"),
        ("conf.yaml", "yaml"),
    ],
)
def test_a_known_suffix_or_file_name_decides_the_format(name: str, format: str) -> None:
    assert accepted(name).name == format


@pytest.mark.parametrize("content_type", [None, "", "application/octet-stream", "application/x-www-form-urlencoded", "application/pdf"])
def test_an_unknown_suffix_without_a_text_type_is_unsupported(content_type: str | None) -> None:
    assert reason_of_name("test.bin", content_type) == "unsupported_type"


def test_a_declared_text_type_makes_an_unknown_suffix_acceptable() -> None:
    assert accepted("test.bin", "text/plain; charset=utf-8").name == "text"
    assert accepted("page", "TEXT/HTML").name == "html"
    assert accepted("notes.xyz", "text/x-unheard-of").name == "text"


def test_a_known_suffix_is_accepted_whatever_type_is_declared() -> None:
    assert accepted("a.py", "application/octet-stream").name == "python"
    assert accepted("a.md", "text/plain").name == "markdown"


def test_unknown_text_is_taken_on_trust_only_when_asked() -> None:
    assert accepted("test.bin", accept_unknown_text=True) == UNKNOWN_TEXT
    check_content(UNKNOWN_TEXT, b"plain words")
    with pytest.raises(Refused) as caught:
        check_content(UNKNOWN_TEXT, b"\x00\x01\x02")
    assert caught.value.reason == "unsupported_type"


def test_the_size_limit_is_inclusive() -> None:
    assert accepted("a.txt", size_bytes=1000)
    assert reason_of_name("a.txt", size_bytes=1001) == "too_large"


def test_no_bytes_are_empty() -> None:
    assert reason_of_name("a.txt", size_bytes=0) == "empty"
    assert reason_of_content("a.txt", b"") == "empty"


def test_a_refusal_names_its_reason_what_was_expected_and_what_to_do() -> None:
    with pytest.raises(Refused) as caught:
        accepted("a.txt", size_bytes=5000)
    refused = caught.value
    assert refused.code == refused.reason == "too_large"
    assert refused.message == "expected at most 1,000 bytes, got 5,000"
    assert refused.hint == REASONS["too_large"].remedy
    assert not refused.retryable


def test_a_message_cannot_steer_the_terminal_with_the_name() -> None:
    with pytest.raises(Refused) as caught:
        accepted("evil\x1b[2J\n.bin")
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        docx_bytes(),
        gzip.compress(b"hello hello hello"),
        PNG,
        b"%PDF-1.7\n1 0 obj",
        b"binary\x00with a NUL",
        "no byte order mark".encode("utf-16-le"),
        bytes(range(1, 9)) * 50,
    ],
    ids=["zip", "gzip", "png", "pdf", "nul", "utf-16 without a mark", "control characters"],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.py", "a.html"])
def test_content_that_is_not_text_does_not_pass_as_text(name: str, data: bytes) -> None:
    assert reason_of_content(name, data) == "content_mismatch"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "shift_jis"])
def test_text_in_any_encoding_passes_as_text(encoding: str) -> None:
    text = "日本語のテキスト" if encoding == "shift_jis" else "Größe\tund\r\nMöglichkeit\f\x1b[31mred\x1b[0m"
    check_content(known("a.txt"), text.encode(encoding))


def test_other_content_does_not_pass_as_a_document() -> None:
    for name in ("a.pdf", "a.docx"):
        assert reason_of_content(name, b"just words") == "content_mismatch"
        assert reason_of_content(name, PNG) == "content_mismatch"
    assert reason_of_content("a.docx", b"%PDF-1.7\n") == "content_mismatch"


def test_a_pdf_may_begin_with_a_few_other_bytes() -> None:
    check_content(known("a.pdf"), b"\n\n%PDF-1.7\n")


def test_a_zip_without_a_word_document_is_not_a_docx() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert reason_of_content("a.docx", buffer.getvalue()) == "content_mismatch"


def test_a_whole_docx_passes_and_half_of_one_is_corrupt() -> None:
    whole = docx_bytes()
    check_content(known("a.docx"), whole)
    assert reason_of_content("a.docx", whole[: len(whole) // 2]) == "corrupt"


def test_a_damaged_member_of_a_docx_is_corrupt() -> None:
    damaged = bytearray(docx_bomb(100_000))
    name = damaged.index(b"word/document.xml") + len(b"word/document.xml")
    damaged[name : name + 8] = b"\xff" * 8
    assert reason_of_content("a.docx", bytes(damaged)) == "corrupt"


def test_an_encrypted_office_file_is_encrypted_and_an_old_one_a_mismatch() -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
    assert reason_of_content("a.docx", ole + "EncryptedPackage".encode("utf-16-le")) == "encrypted"
    assert reason_of_content("a.docx", ole) == "content_mismatch"


def test_a_docx_that_inflates_enormously_is_an_archive_bomb() -> None:
    assert reason_of_content("a.docx", docx_bomb(200_000_000)) == "archive_bomb"


def test_an_archive_bomb_that_lies_about_its_sizes_is_one_still() -> None:
    inflated_bytes = 50_000_000
    lying = docx_bomb(inflated_bytes).replace(inflated_bytes.to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    with zipfile.ZipFile(io.BytesIO(lying)) as archive:
        assert max(member.file_size for member in archive.infolist()) == 1000
    assert reason_of_content("a.docx", lying) == "archive_bomb"


def test_no_suffix_or_file_name_belongs_to_two_formats() -> None:
    keys = [key for format in FORMATS for key in (*format.suffixes, *format.file_names, *format.content_types)]
    assert len(keys) == len(set(keys))
    assert all(key == key.lower() for key in keys)
