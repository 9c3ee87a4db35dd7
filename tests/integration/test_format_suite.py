"""Files as programs write them, from bytes to chunks: what is kept, where it stands, and what damage does."""

from __future__ import annotations

import io
import json
import re
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils import get_column_letter
from tests.integration.code_files import BEGINNINGS, FILES
from tests.integration.http_api import http_api
from tests.integration.office_files import (
    formulas_xlsx,
    guide_docx,
    long_pptx,
    long_xlsx,
    mail,
    notebook,
    ods,
    odt,
    pages_pdf,
    reordered_pptx,
    review_pptx,
    sales_xlsx,
    saved,
)

from forebay.pipeline.parse import Parsed, ParseRequest, parse
from forebay.pipeline.refused import Refused
from forebay.pipeline.workers.pool import WorkerPool
from forebay.values.chunk import ChunkLocation


def request_of(name: str, data: bytes, *, chunk_size: int = 800, content_type: str | None = None) -> ParseRequest:
    return ParseRequest(
        name=name,
        content_type=content_type,
        data=data,
        max_blob_bytes=10_000_000,
        accept_unknown_text=False,
        chunk_size=chunk_size,
        chunker="auto",
        max_text_characters=10_000_000,
    )


def parsed(name: str, data: bytes, *, chunk_size: int = 800) -> Parsed:
    request = request_of(name, data, chunk_size=chunk_size)
    found = parse(request)
    assert parse(request) == found, "the same bytes gave something else"
    return found


def read(name: str, data: bytes, *, chunk_size: int = 800) -> list[tuple[str, dict[str, Any] | None]]:
    chunks = parsed(name, data, chunk_size=chunk_size).chunks
    return [(chunk.text, chunk.location and chunk.location.to_json()) for chunk in chunks]


def reason_of(name: str, data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        parse(request_of(name, data))
    return caught.value.reason


def replaced_member(data: bytes, name: str, content: bytes | None) -> bytes:
    """The archive with another content of a member, or without it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
            elif content is not None:
                new.writestr(member, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_code_is_split_between_definitions(name: str) -> None:
    for text in (FILES[name], FILES[name].rstrip() + "\n\n\n"):
        chunk_size, beginnings = BEGINNINGS[name]
        chunks = parsed(name, text.encode(), chunk_size=chunk_size).chunks
        pieces = [chunk.text.strip() for chunk in chunks]
        missing = [beginning for beginning in beginnings if not any(piece.startswith(beginning) for piece in pieces)]
        assert missing == []
        assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
        assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize("name", FILES)
def test_code_that_ends_too_early_or_holds_garbage_is_text_still_and_binary_is_not(name: str) -> None:
    text = FILES[name]
    for broken in (text[: len(text) * 2 // 3], text.replace("{", "{{ ?? ", 1), "\ufeff" + text):
        chunks = parsed(name, broken.encode(), chunk_size=180).chunks
        assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(broken.removeprefix("\ufeff").split())
    assert reason_of(name, b"G" + bytes(187) + text.encode()) == "content_mismatch"


def test_a_workbook_is_read_sheet_by_sheet_with_rows() -> None:
    assert read("sales.xlsx", sales_xlsx()) == [
        (
            "Sales 2024\nRegion\tAmount\tWhen\tNote\nNorth\t1200.5\t2024-03-01\tfirst | pipe\nSouth\t7\t2024-03-02 13:45:10\ttwo lines",
            {"sheet": "Sales 2024", "rows": [1, 3], "cell_range": "A1:D3"},
        ),
        (
            "Größe & Co\nx\tTRUE\n0.3\n00123\t12345678901234\n08:30:00\t30:00:00",
            {"sheet": "Größe & Co", "rows": [3, 6], "cell_range": "B3:E6"},
        ),
        ("Hidden\nnot shown", {"sheet": "Hidden", "rows": [1, 1], "cell_range": "A1"}),
    ]


def test_a_long_sheet_has_its_rows_in_each_chunk() -> None:
    chunks = read("meters.xlsx", long_xlsx(300), chunk_size=100)
    rows = [location["rows"] for _, location in chunks if location is not None]
    assert len(rows) == len(chunks) > 10
    assert rows[0][0] == 1
    assert rows[-1][1] == 300
    assert all(first[1] + 1 == second[0] for first, second in pairwise(rows))
    for text, location in chunks[1:]:
        assert location is not None
        assert text.split("\t", 1)[0] == f"meter {location['rows'][0] - 1}"
        assert location["cell_range"] == "A{}:B{}".format(*location["rows"])


def test_a_wide_row_that_takes_several_chunks_is_cited_cell_by_cell() -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Wide"
    sheet["A1"] = "a title above the table"
    for column in range(3, 103):
        sheet.cell(row=4, column=column, value=f"value{column}")
    for text, location in read("wide.xlsx", saved(workbook), chunk_size=60):
        assert location is not None
        reached = [int(number) for number in re.findall(r"value(\d+)", text)]
        cells = [f"{get_column_letter(column)}4" for column in reached]
        first, last = "A1" if "title" in text else cells[0], cells[-1] if cells else "A1"
        assert location["cell_range"] == (first if first == last else f"{first}:{last}")


def test_a_chunk_that_is_nothing_but_the_name_of_its_sheet_is_in_no_cell() -> None:
    workbook = openpyxl.Workbook()
    workbook.active.title = "A sheet with a long name"
    workbook.active["B2"] = "word " * 12
    first, *others = read("named.xlsx", saved(workbook), chunk_size=50)
    assert first == ("A sheet with a long name", {"sheet": "A sheet with a long name", "rows": [2, 2]})
    assert {location["cell_range"] for _, location in others if location} == {"B2"}


def test_an_opendocument_spreadsheet_is_read_like_a_workbook() -> None:
    cell = "<table:table-cell{}><text:p>{}</text:p></table:table-cell>"
    gap = '<table:table-cell table:number-columns-repeated="{}"/>'
    budget = (
        '<table:table-column table:number-columns-repeated="4"/><table:table-header-rows><table:table-row>'
        + cell.format("", "Item")
        + gap.format(2)
        + cell.format(' office:value-type="string"', "Cost")
        + "</table:table-row></table:table-header-rows>"
        + f'<table:table-row table:number-rows-repeated="7">{gap.format(16384)}</table:table-row><table:table-row-group><table:table-row>'
        + cell.format("", "a<text:s/>b</text:p><text:p>c")
        + cell.format(' office:value-type="float" office:value="0.30000000000000004"', "0.3")
        + cell.format(' office:value-type="currency" office:value="12.50"', "12,50 €")
        + cell.format(' office:value-type="percentage" office:value="0.25"', "25 %")
        + "</table:table-row></table:table-row-group><table:table-row>"
        + cell.format(' office:value-type="date" office:date-value="2024-03-02T13:45:10"', "02.03.24")
        + cell.format(' office:value-type="time" office:time-value="PT8H30M00S"', "08:30")
        + cell.format(' office:value-type="boolean" office:boolean-value="true"', "WAHR")
        + "<table:table-cell><office:annotation><text:p>a remark</text:p></office:annotation><text:p>seen</text:p></table:table-cell>"
        + '</table:table-row><table:table-row table:number-rows-repeated="1048566">'
        + f"{gap.format(16384)}</table:table-row>"
    )
    repeated = (
        f'<table:table-row table:number-rows-repeated="2">{gap.format(1)}'
        '<table:table-cell table:number-columns-repeated="2" table:number-columns-spanned="2"><text:p>x</text:p></table:table-cell>'
        "<table:covered-table-cell><text:p>under</text:p></table:covered-table-cell></table:table-row>"
    )
    assert read("budget.ods", ods(("Budget", budget), ("Empty", ""), ("A &amp; amp", repeated))) == [
        (
            "Budget\nItem\t\t\tCost\na b c\t0.3\t12.5\t0.25\n2024-03-02 13:45:10\t08:30:00\tTRUE\tseen",
            {"sheet": "Budget", "rows": [1, 10], "cell_range": "A1:D10"},
        ),
        ("A & amp\nx\tx\tunder\nx\tx\tunder", {"sheet": "A & amp", "rows": [1, 2], "cell_range": "B1:D2"}),
    ]


def test_an_opendocument_spreadsheet_that_cannot_be_one_is_refused() -> None:
    row = "<table:table-row><table:table-cell><text:p>x</text:p></table:table-cell></table:table-row>"
    assert reason_of("a.ods", odt("<text:p>text</text:p>")) == "content_mismatch"
    assert reason_of("a.odt", ods(("S", row))) == "content_mismatch"
    assert reason_of("a.ods", ods(("S", row), manifest="<manifest:encryption-data/>")) == "encrypted"
    assert reason_of("a.ods", replaced_member(ods(("S", row)), "content.xml", b"<a><b></a>")) == "corrupt"
    assert reason_of("a.ods", replaced_member(ods(("S", row)), "content.xml", b"<a/>")) == "corrupt"
    assert reason_of("a.ods", ods(("S", ""))) == "empty"
    repeated = row.replace("<table:table-row>", '<table:table-row table:number-rows-repeated="1048576">').replace(">x<", f">{'x' * 200}<")
    assert reason_of("a.ods", ods(("S", repeated))) == "archive_bomb"


def test_separated_values_are_cited_as_a_spreadsheet_program_numbers_them() -> None:
    table = 'name,note,price\r\nbolt,"two\r\nlines, ""quoted""",1\r\n\r\nnut,,2\r\n,,total 3\r\n'
    assert read("parts.csv", table.encode()) == [(table.rstrip(), {"rows": [1, 5], "cell_range": "A1:C5"})]
    pieces = read("parts.csv", table.encode(), chunk_size=25)
    assert [(text.strip(), location and location["cell_range"]) for text, location in pieces] == [
        ("name,note,price", "A1:C1"),
        ('bolt,"two', "A2:B2"),
        ('lines, ""quoted""",1', "B2:C2"),
        ("nut,,2\r\n,,total 3", "A4:C5"),
    ]
    assert read("parts.tsv", b"a;b\tc\n1\t2\n")[0][1] == {"rows": [1, 2], "cell_range": "A1:B2"}


def test_of_formulas_the_last_results_are_read() -> None:
    assert read("result.xlsx", formulas_xlsx()) == [
        ("Result\nTotal\t42\n#DIV/0!\tdone\n東京", {"sheet": "Result", "rows": [1, 8], "cell_range": "A1:D8"})
    ]


def test_a_presentation_is_read_slide_by_slide_with_its_notes() -> None:
    assert read("review.pptx", review_pptx()) == [
        ("Größe und 日本\n\nbullet one\nbullet two", {"slide": 1}),
        ("Numbers\n\nkey\tvalue\na\tb\n\na box\nwith a break", {"slide": 2}),
        ("in a group\n\nNotes:\nSay thanks.", {"slide": 4}),
    ]


def test_slides_come_in_the_order_of_the_show_and_notes_stay_with_their_slide() -> None:
    assert read("moved.pptx", reordered_pptx()) == [
        (f"made as number {made}\n\nNotes:\nnotes of number {made}", {"slide": slide}) for slide, made in ((1, 1), (2, 2), (3, 0))
    ]


def test_long_slides_take_several_chunks_and_no_chunk_two_slides() -> None:
    chunks = read("long.pptx", long_pptx(), chunk_size=200)
    assert len(chunks) > 24
    for text, location in chunks:
        assert location is not None
        words = text.replace(".", "").split()
        assert {words[at + 1] for at, word in enumerate(words) if word.lower() == "part"} == {str(location["slide"])}


def test_a_pdf_is_read_page_by_page_and_an_empty_page_counts() -> None:
    pages = [["Quarterly revenue rose", "in spring."], [], ["Costs fell."]]
    assert read("report.pdf", pages_pdf(*pages)) == [
        ("Quarterly revenue rose\nin spring.", {"page": 1}),
        ("Costs fell.", {"page": 3}),
    ]
    assert [chunk.first_line for chunk in parsed("report.pdf", pages_pdf(*pages)).chunks] == [1, 4]


def test_a_book_of_many_pages_has_each_page_right() -> None:
    chunks = read("book.pdf", pages_pdf(*([f"Line {line} of page {page}." for line in range(30)] for page in range(1, 41))), chunk_size=300)
    assert {location["page"] for _, location in chunks if location} == set(range(1, 41))
    assert [line for text, _ in chunks for line in text.split("\n")] == [
        f"Line {line} of page {page}." for page in range(1, 41) for line in range(30)
    ]
    for text, location in chunks:
        assert location is not None
        assert {line.rsplit(" ", 1)[1] for line in text.split("\n")} == {f"{location['page']}."}


def test_a_word_that_a_line_of_a_pdf_divides_is_whole_again() -> None:
    assert read("a.pdf", pages_pdf(["Tables for the manip-", "ulation of data."])) == [
        ("Tables for the manipulation of data.", {"page": 1})
    ]


def test_a_page_without_text_is_empty_and_says_why() -> None:
    with pytest.raises(Refused) as caught:
        parse(request_of("scan.pdf", pages_pdf([], [])))
    assert caught.value.reason == "empty"
    assert "scan" in caught.value.message


def test_word_documents_markdown_and_pages_have_headings() -> None:
    assert read("guide.docx", guide_docx(), chunk_size=50) == [
        ("# Guide\n\nWhat this is.", {"headings": ["Guide"]}),
        ("## Install\n\nRun the installer.", {"headings": ["Guide", "Install"]}),
        ("| left | right |\n| --- | --- |", {"headings": ["Guide", "Install"]}),
        ("## Use\n\nDrop a file.", {"headings": ["Guide", "Use"]}),
    ]
    page = b"<title>Manual</title><body><h1>Guide</h1><p>a</p><h2>Install</h2><p>Run it.</p></body>"
    assert read("guide.html", page, chunk_size=25)[-1] == ("## Install\n\nRun it.", {"headings": ["Guide", "Install"]})
    assert read("a.md", b"words without a heading") == [("words without a heading", None)]


CELLS: list[dict[str, Any]] = [
    {"cell_type": "markdown", "source": ["# Analysis\n", "\n", "Text."]},
    {"cell_type": "code", "source": [], "outputs": []},
    {
        "cell_type": "code",
        "source": "import pandas\n",
        "outputs": [
            {"output_type": "stream", "text": ["\x1b[31mhello\x1b[0m\n"]},
            {"output_type": "display_data", "data": {"image/png": "AAAA"}},
            {"output_type": "execute_result", "data": {"text/plain": ["# 42"], "text/html": "<b>42</b>"}},
        ],
    },
    {"cell_type": "markdown", "source": "## Result"},
    {
        "cell_type": "code",
        "source": "1/0",
        "outputs": [{"output_type": "error", "ename": "E", "evalue": "by zero", "traceback": ["secret"]}],
    },
    {"cell_type": "raw", "source": "raw"},
]


def test_a_notebook_becomes_its_cells_and_what_they_printed() -> None:
    whole = read("a.ipynb", notebook(*CELLS, language_info={"name": "python"}))
    assert whole == [
        (
            (
                "# Analysis\n\nText.\n\n```python\nimport pandas\n```\n\n```\nhello\n```\n\n```\n# 42\n```\n\n"
                "## Result\n\n```python\n1/0\n```\n\n```\nE: by zero\n```\n\nraw"
            ),
            {"cells": [1, 6], "headings": ["Analysis"]},
        )
    ]
    pieces = read("a.ipynb", notebook(*CELLS), chunk_size=40)
    assert pieces[0] == ("# Analysis\n\nText.\n\n```\nimport pandas\n```", {"cells": [1, 3], "headings": ["Analysis"]})
    assert pieces[-1][1] == {"cells": [5, 6], "headings": ["Analysis", "Result"]}


def test_old_notebooks_and_code_with_fences_are_read() -> None:
    cells = [{"cell_type": "heading", "level": 2, "source": ["Old"]}, {"cell_type": "code", "input": "s = '```'", "outputs": []}]
    old = json.dumps({"worksheets": [{"cells": cells}], "nbformat": 3}).encode()
    assert read("old.ipynb", old) == [("## Old\n\n````\ns = '```'\n````", {"cells": [1, 2], "headings": ["Old"]})]


def test_a_mail_is_its_header_its_text_and_the_names_of_attachments() -> None:
    message = mail("Größe der Lieferung", "Hello Bob,\n\ntomorrow.\n", html="<p>not this</p>", attachment=("räport.pdf", b"\0\1"))
    header = "From: Ann Müller <ann@example.com>\nTo: bob@example.com\nDate: Mon, 01 Apr 2024 10:00:00 +0000"
    assert read("a.eml", message.as_bytes()) == [
        (f"Subject: Größe der Lieferung\n{header}\n\nHello Bob,\n\ntomorrow.\n\nAttachment: räport.pdf", None)
    ]
    outer = mail("Fwd", "See below.")
    outer.add_attachment(mail("Inner", "the inner text"))
    assert read("fwd.eml", outer.as_bytes())[0][0] == (
        f"Subject: Fwd\n{header}\n\nSee below.\n\nSubject: Inner\n{header}\n\nthe inner text"
    )


def test_old_mail_in_html_and_a_legacy_encoding_is_read() -> None:
    text = "Привет, мир"
    data = (
        b"From: a@b.c\r\nSubject: =?windows-1251?B?z/Do4uXy?=\r\nContent-Type: text/html; charset=windows-1251\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n<html><style>x{}</style><script>bad()</script><p>"
        + text.encode("cp1251")
        + b"</p><p><a href='http://x.y'>a link</a></p></html>"
    )
    assert read("a.eml", data)[0][0] == f"Subject: Привет\nFrom: a@b.c\n\n{text}\n\n[a link](http://x.y)"
    cut = b'From: a@b.c\nSubject: cut\nContent-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain; charset=shift_jis\n\n'
    assert read("cut.eml", cut + "日本語の本文".encode("shift_jis"))[0][0].endswith("日本語の本文")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            (
                rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\pard\b Note\b0\par Gr\'f6\'dfe \u8364? 5\par"
                rb"\trowd\cellx100\cellx200 a\cell b\cell\row\pard end"
                rb"\par}"
            ),
            "**Note**\n\nGröße € 5\n\n| a | b |\n| --- | --- |\n\nend",
        ),
        (
            rb"{\rtf1\ansi\ansicpg1251\deff0{\fonttbl{\f0\fcharset204 Arial;}}\pard \'cf\'f0\'e8\'e2\'e5\'f2{\pict\pngblip 89504e47}\par}",
            "Привет",
        ),
        (
            (
                rb"{\rtf1\ansi\ansicpg932{\fonttbl{\f0\fcharset128 MS;}}\f0 \'93\'fa\'96\'7b\par{\field{\*\fldinst HYPERLINK http://x.y}"
                rb"{\fldrslt a link}}\par}"
            ),
            "日本\n\n[a link](http://x.y)",
        ),
    ],
    ids=["western with a table", "cyrillic with a picture", "japanese with a link"],
)
def test_rich_text_in_its_code_pages(data: bytes, text: str) -> None:
    assert read("a.rtf", data) == [(text, None)]


def heading(level: int, text: str) -> str:
    return f'<text:h text:outline-level="{level}">{text}</text:h>'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            heading(1, "Guide")
            + "<text:p>First <text:span>para</text:span>graph.</text:p>"
            + heading(2, "Install")
            + "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>inner</text:p></text:list-item>"
            "</text:list></text:list-item></text:list>",
            "# Guide\n\nFirst paragraph.\n\n## Install\n\n- one\n  - inner",
        ),
        (
            (
                "<text:p>Größe 日本<text:line-break/>next<text:tab/>tab<text:s text:c='2'/>spaces</text:p><table:table>"
                "<table:table-header-rows>"
                "<table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell/></table:table-row>"
                "</table:table-header-rows><table:table-row><table:table-cell><text:p>b|c</text:p></table:table-cell></table:table-row>"
                "</table:table>"
            ),
            "Größe 日本\nnext\ttab  spaces\n\n| a |  |\n| --- | --- |\n| b\\|c |",
        ),
        (
            (
                "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes><text:section><text:p>See"
                "<office:annotation><text:p>remark</text:p></office:annotation> the note"
                "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>at the foot</text:p></text:note-body>"
                "</text:note>.</text:p></text:section>"
            ),
            "See the note[^1].\n\n[^1]: at the foot",
        ),
    ],
    ids=["headings and lists", "white space and a table", "notes and what nobody sees"],
)
def test_open_documents_become_markdown(body: str, text: str) -> None:
    assert "\n\n".join(piece for piece, _ in read("a.odt", odt(body))) == text


PACKAGED = {
    "a.xlsx": (sales_xlsx(), "xl/worksheets/sheet1.xml"),
    "a.pptx": (review_pptx(), "ppt/slides/slide1.xml"),
    "a.odt": (odt("<text:p>x</text:p>"), "content.xml"),
}


@pytest.mark.parametrize("name", PACKAGED)
def test_a_damaged_package_is_corrupt(name: str) -> None:
    whole, member = PACKAGED[name]
    assert reason_of(name, whole[: len(whole) // 2]) == "corrupt"
    assert reason_of(name, replaced_member(whole, member, b"<cut")) == "corrupt"
    assert reason_of(name, replaced_member(whole, member, b"")) == "corrupt"
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
    assert reason_of(name, replaced_member(whole, member, bomb)) == "corrupt"
    if name != "a.odt":
        assert reason_of(name, replaced_member(whole, member, None)) == "corrupt"


def test_a_string_that_a_sheet_repeats_without_end_is_an_archive_bomb() -> None:
    strings = b'<sst xmlns="http://x"><si><t>' + b"word " * 100_000 + b"</t></si></sst>"
    rows = b'<worksheet xmlns="http://x"><sheetData>' + b'<row><c t="s"><v>0</v></c></row>' * 1000 + b"</sheetData></worksheet>"
    bomb = replaced_member(replaced_member(formulas_xlsx(), "xl/sharedStrings.xml", strings), "xl/worksheets/sheet1.xml", rows)
    assert reason_of("a.xlsx", bomb) == "archive_bomb"


def test_damaged_notebooks_and_rich_text_are_told_from_others() -> None:
    whole = notebook(*CELLS)
    assert reason_of("a.ipynb", whole[: len(whole) // 2]) == "corrupt"
    assert reason_of("a.ipynb", b"[" * 100_000) == "corrupt"
    assert reason_of("a.ipynb", b'{"rows": []}') == "content_mismatch"
    assert reason_of("a.ipynb", notebook()) == "empty"
    assert reason_of("a.rtf", rb"{\rtf1\ansi cut off he") == "corrupt"
    assert reason_of("a.rtf", b"{\\rtf1" + b"{" * 50_000 + b"}") == "empty"
    assert reason_of("a.eml", b"no header at all, only words\n") == "content_mismatch"


ARTICLES = {
    "de": "Der Stausee liegt oberhalb der Mühle. Im Frühjahr fließt das Wasser über die Öffnung, und die Schleuse schließt spät. ",
    "ru": "Водохранилище находится выше мельницы. Весной вода течёт через отверстие, и шлюз закрывается поздно вечером. ",
    "ja": "貯水池は水車小屋の上流にあります。春になると水が開口部から流れ、水門は夜遅くに閉まります。カタカナも少し。",
    "zh": "水库位于磨坊的上游。春天水从开口处流过, 水闸在深夜关闭。我们每天都要检查水位和设备的状态。",
}


@pytest.mark.parametrize(
    ("language", "encoding", "found", "guessed"),
    [
        ("de", "utf-16", "utf-16-le", False),
        ("ru", "utf-16", "utf-16-le", False),
        ("de", "latin-1", "cp1252", True),
        ("ru", "cp1251", "cp1251", True),
        ("ja", "shift_jis", "cp932", True),
        ("zh", "gb18030", "gb18030", True),
    ],
)
@pytest.mark.parametrize("name", ["article.txt", "article.md", "table.csv"])
def test_an_article_in_a_legacy_encoding_comes_out_whole(name: str, language: str, encoding: str, found: str, guessed: bool) -> None:
    text = "\n".join(f"{number}. {ARTICLES[language] * 3}" for number in range(40))
    result = parsed(name, text.encode(encoding))
    assert (result.encoding, result.encoding_guessed, result.replaced_count) == (found, guessed, 0)
    assert "".join("".join(chunk.text for chunk in result.chunks).split()) == "".join(text.split())


def test_the_declaration_of_xml_settles_its_encoding() -> None:
    result = parsed("a.xml", '<?xml version="1.0" encoding="koi8-r"?><a>Да</a>'.encode("koi8-r"))
    assert (result.encoding, result.encoding_guessed) == ("koi8-r", False)
    assert "Да" in result.chunks[0].text


async def test_a_worker_sends_locations_over_the_wire() -> None:
    pool = WorkerPool(worker_count=1, timeout_seconds=60, memory_bytes=2 << 30)
    try:
        sheet = await pool.parse(request_of("a.xlsx", sales_xlsx()))
        guide = await pool.parse(request_of("a.docx", guide_docx(), chunk_size=50))
    finally:
        await pool.close()
    assert sheet.chunks[0].location == ChunkLocation(sheet="Sales 2024", rows=(1, 3), cell_range="A1:D3")
    assert guide.chunks[1].location == ChunkLocation(headings=("Guide", "Install"))


async def test_chunks_and_hits_say_where_a_person_finds_them(tmp_path: Path) -> None:
    async with http_api(tmp_path) as api:
        report = await api.upload("report.pdf", pages_pdf(["The first page."], ["Sluice gates closed."]))
        await api.upload("guide.md", "# Guide\n\nHello.\n\n## Turbine\n\nBlades turn.\n")
        await api.upload("plain.txt", "Weather stayed dry.")
        chunks = (await api.client.get(f"/documents/{report['id']}/chunks")).json()["chunks"]
        assert [chunk["location"] for chunk in chunks] == [{"page": 1}, {"page": 2}]
        for query, location in (("sluice gates", {"page": 2}), ("blades", {"headings": ["Guide"]}), ("weather", None)):
            hits = (await api.client.post("/search", json={"query": query, "mode": "text"})).json()["hits"]
            assert [hit["location"] for hit in hits] == [location]
