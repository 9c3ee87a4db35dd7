"""Contents that want to crash, stall, fill, fool or leave the program: a table of name, bytes, and what must become of them."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.integration import office_files

Make = Callable[[], bytes]

_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_LAUGHS = '<!DOCTYPE lolz [<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9)) + "]>"
_FILE_ENTITY = '<!DOCTYPE x [<!ENTITY leak SYSTEM "file://{guard}">]>'


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file, and how it may end: `indexed` or reason codes."""

    name: str
    make: Make
    endings: frozenset[str]
    says: str | None = None  # what its chunks must contain when it is indexed


def hostile_contents(guard: str) -> list[Hostile]:
    """The table. `guard` is a file outside of everything, whose content no document may show."""
    return [
        *_text(),
        *_code(),
        *_markup(guard),
        *_patterns(),
        *_notebooks(),
        *_mail(),
        *_packages(guard),
        *_rtf(),
        *_pdf(),
        *_damaged(),
        *_disguised(),
    ]


def case(name: str, content: bytes | str | Callable[[], bytes | str], *endings: str, says: str | None = None) -> Hostile:
    """A row; without endings it must be indexed."""

    def make() -> bytes:
        made = content() if callable(content) else content
        return made.encode() if isinstance(made, str) else made

    return Hostile(name, make, frozenset(endings or ("indexed",)), says)


def _text() -> Iterator[Hostile]:
    yield case("nul.txt", b"text \0 text", "content_mismatch")
    yield case("nul-late.txt", lambda: b"text " * 100_000 + b"\0", "content_mismatch")
    yield case("controls.txt", bytes(range(1, 32)) * 10, "content_mismatch")
    yield case("escapes.txt", "\x1b]0;owned\x07\x1b[2J\x1b[31mred herring\x1b[0m", says="red herring")
    yield case("overlong.txt", b"\xc0\xae\xc0\xae\xc0\xaf" * 50, "undecodable", "indexed")
    yield case("surrogates.txt", b"\xed\xa0\x80\xed\xb0\x80" * 50 + b"lonely words", "undecodable", "indexed")
    yield case("utf7.txt", b"+ADw-script+AD4- seven bits", says="+ADw-script+AD4-")
    yield case("marks.txt", "\ufeff" * 50 + "soup of marks", says="soup of marks")
    yield case("mark-only.txt", b"\xef\xbb\xbf", "empty")
    yield case("mark-only-16.txt", b"\xff\xfe", "empty")
    yield case("odd-16.txt", b"\xff\xfe" + "sixteen bits".encode("utf-16-le") + b"x", says="sixteen bits")
    yield case("lone-16.txt", b"\xff\xfe" + b"\x00\xd8" + "one is alone here in a row".encode("utf-16-le"), says="alone")
    yield case("lone-16-many.txt", b"\xff\xfe" + b"\x00\xd8" * 1000, "undecodable")
    yield case("beyond-32.txt", b"\xff\xfe\0\0" + struct.pack("<I", 0x7FFFFFFF) * 20, "undecodable", "content_mismatch", "indexed")
    yield case("mixed-marks.txt", b"\xfe\xff\xff\xfe\xef\xbb\xbf", "undecodable", "indexed")
    yield case("combining.txt", lambda: "a" + "\u0301" * 500_000)
    yield case("combining-only.txt", lambda: "\u0301\u0489" * 1000)
    yield case("right-to-left.txt", "\u202egnp.exe\u202c \u2066overridden\u2069", says="overridden")
    yield case("zero-width.txt", "\u200b\u200c\u200d\u2060" * 1000, "indexed", "empty")
    yield case("white.txt", "\u3000\u2003\xa0\n\t \x0b\x0c" * 1000, "empty")
    yield case("one-letter.txt", "x", says="x")
    yield case("long-line.txt", lambda: "x" * 1_000_000)
    yield case("long-words.txt", lambda: ("word" * 50_000 + " ") * 10)
    yield case("line-ends.txt", lambda: "\r\n\n\r" * 500_000 + "at last", says="at last")
    yield case("separators.txt", lambda: "line\u2028line\u2029line\x85line\x0b" * 20_000)
    yield case("astral.txt", lambda: "\U0010ffff\U0001f4a9" * 100_000)
    yield case("many-lines.txt", lambda: "a\n" * 500_000)
    yield case("formulas.csv", "=cmd|' /C calc'!A0,+1,-1,@SUM(1)", says="=cmd|' /C calc'!A0")
    yield case("wide.csv", lambda: ",".join(map(str, range(200_000))))
    yield case("quotes.csv", lambda: '"' * 200_001)
    yield case("declared.xml", b'<?xml version="1.0" encoding="utf-7"?><a>+ADw- caf\xe9</a>', "indexed", "undecodable")
    yield case("codec.xml", b'<?xml version="1.0" encoding="zlib_codec"?><a>caf\xe9 society</a>', says="society")
    yield case("cookie.py", b"# -*- coding: unicode_escape -*-\nx = '\\ud800 caf\xe9'\n", says="coding")
    yield case("random.txt", lambda: random.Random(1).randbytes(100_000), "content_mismatch", "undecodable")
    yield case("too-large.txt", lambda: b"word " * (11 << 18), "too_large")


def _code() -> Iterator[Hostile]:
    for suffix, opening in (
        *(("py", "("), ("js", "{"), ("ts", "["), ("tsx", "<a>"), ("go", "{"), ("rs", "("), ("java", "{"), ("c", "("), ("cpp", "<")),
        *(("cs", "{"), ("rb", "["), ("css", "a{"), ("toml", "["), ("yaml", "[")),
    ):
        yield case(f"deep.{suffix}", lambda opening=opening: opening * 30_000)
    yield case("anchors.yaml", "a: &a [lol]\n" + "".join(f"{c}: &{c} [{', '.join([f'*{chr(ord(c) - 1)}'] * 9)}]\n" for c in "bcdefghi"))
    yield case("indented.yaml", lambda: "".join(" " * depth + "a:\n" for depth in range(1500)), "indexed", "parser_crashed")
    yield case("functions.py", lambda: "".join(f"def f{n}(): pass\n" for n in range(30_000)), says="def f29999")
    yield case("indented.py", lambda: "".join(" " * depth + "if x:\n" for depth in range(1500)))
    yield case("minified.js", lambda: "".join(f"var a{n}=function(){{return {n}}};" for n in range(40_000)))
    yield case("unclosed.py", lambda: '"""' + "never closed " * 20_000)
    yield case("operators.c", lambda: "x = 1" + " + 1" * 5_000 + ";")
    yield case("operators-many.c", lambda: "x = 1" + " + 1" * 500_000 + ";", "parser_timeout")
    yield case("templates.cpp", lambda: "a<" * 2_000)
    yield case("deep.json", lambda: "[" * 200_000)
    yield case("deep-objects.json", lambda: '{"a":' * 50_000 + "1" + "}" * 50_000)
    yield case("number.json", lambda: "9" * 300_000)
    yield case("binary.py", b"\x7fELF" + b"\0" * 200, "content_mismatch")


def _markup(guard: str) -> Iterator[Hostile]:
    yield case("headings.md", lambda: "# a\n" * 50_000)
    yield case("headings-million.md", lambda: "# a\n" * 1_000_000, "indexed", "parser_timeout")
    yield case("deep-quotes.md", lambda: "> " * 20_000 + "quoted")
    yield case("deep-lists.md", lambda: "".join("  " * depth + "- item\n" for depth in range(700)))
    yield case("brackets.md", lambda: "[" * 50_000 + "text" + "]" * 50_000)
    yield case("emphasis.md", lambda: "*a " * 50_000 + "_b" * 50_000)
    yield case("ticks.md", lambda: "".join("`" * n + " " for n in range(1, 800)))
    yield case("links.md", lambda: "[a](" * 50_000)
    yield case("wide-table.md", lambda: "|" + " a |" * 20_000 + "\n|" + "-|" * 20_000 + "\n" + ("|" + " b |" * 20_000 + "\n") * 5)
    yield case("entities.md", lambda: "&amp;&#x110000;&#0;" * 20_000)
    yield case("deep.html", lambda: "<div>" * 100_000 + "at the bottom", "indexed", "corrupt", "parser_crashed", "empty")
    yield case("deep-tables.html", lambda: "<table><tr><td>" * 2_000 + "inside", "indexed", "corrupt", "empty")
    yield case("unclosed.html", "<html><body><p>words <b><i><a href='x", says="words")
    yield case("comment.html", "<p>seen</p><!-- never closed" + "-" * 100_000, says="seen")
    yield case("script.html", "<script>alert(1);fetch('http://127.0.0.1:9/')</script><p>calm</p>", says="calm")
    yield case("frames.html", f"<iframe src='file://{guard}'></iframe><object data='file://{guard}'></object><p>framed</p>", says="framed")
    yield case("include.html", f"<!--#include file='{guard}'--><link rel=import href='file://{guard}'><p>included</p>", says="included")
    yield case("laughs.html", f"{_LAUGHS}<p>&a9; laughing</p>", says="laughing")
    yield case("entity.html", _FILE_ENTITY.format(guard=guard) + "<p>&leak; leaking</p>", says="leaking")
    yield case("laughs.xml", f"<?xml version='1.0'?>{_LAUGHS}<x>&a9;</x>", says="&a9;")
    yield case("entity.xml", _FILE_ENTITY.format(guard=guard) + "<x>&leak;</x>", says="&leak;")
    yield case("span.html", "<table><tr><td colspan=1000000000 rowspan=1000000000>spanned</td></tr></table>", says="spanned")
    yield case("data-url.html", lambda: f"<p>drawn</p><img src='data:image/png;base64,{'A' * 2_000_000}'>", says="drawn")
    yield case("attributes.html", lambda: "<p " + " ".join(f"a{n}='{n}'" for n in range(50_000)) + ">dressed</p>", says="dressed")
    yield case("titles.html", lambda: "<title " * 10_000 + "<p>titled</p>", "indexed", "empty")
    yield case("metas.html", lambda: "<meta " * 30_000 + "<p>", "indexed", "empty")
    yield case("references.html", "<p>&#x110000;&#xD800;&#0;&#99999999999; referred</p>", says="referred")
    yield case("utf7.html", b"<meta charset=utf-7><p>+ADw-script+AD4- caf\xe9 au lait</p>", says="au lait")
    yield case("list.html", lambda: "<ul><li>" * 3_000 + "listed", "indexed", "corrupt", "empty")
    yield case("nul.html", b"<p>a\0b</p>", "content_mismatch")


def _patterns() -> Iterator[Hostile]:
    """What makes careless regular expressions take for ever."""
    for name, text in {
        "addresses": "a@" + "a." * 100_000,
        "addresses-2": "a.b-c_" * 50_000 + "@",
        "links": "http://" * 50_000,
        "links-2": "http://" + "(" * 100_000,
        "dates": "2024-1-" * 50_000,
        "dates-2": "20 de de de " * 30_000,
        "years": "20" * 100_000,
        "amounts": "$" + "1,000" * 60_000,
        "amounts-2": "1'000 " * 60_000 + "EUR",
        "keys": "-----BEGIN " + "A " * 100_000 + "PRIVATE KEY-----",
        "keys-2": "-----BEGIN PRIVATE KEY-----" * 10_000,
        "tokens": "eyJ" + "a" * 300_000,
        "tokens-2": "aaaaaaaa.eyJ" * 20_000,
        "passwords": "password=" * 40_000,
        "passwords-2": "password = '" + " " * 300_000,
        "urls": "://" + "a" * 100_000 + ":" * 100_000,
        "spaces": " " * 1_000_000 + "x",
        "digits": "1" * 300_000,
        "hyphens": "-" * 300_000,
        "xml": "<?xml " * 50_000,
    }.items():
        yield case(f"pattern-{name}.txt", text)


def _notebooks() -> Iterator[Hostile]:
    def book(cells: object, **metadata: object) -> str:
        return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4})

    code = {"cell_type": "code", "source": "x = 'computed'", "outputs": []}
    yield case("not-a-list.ipynb", book({"a": 1}), "content_mismatch")
    yield case("no-cells.ipynb", book([]), "empty")
    yield case("odd-cells.ipynb", book([1, None, "x", [], {"source": 5}, {}, code]), says="computed")
    yield case("odd-source.ipynb", book([{"cell_type": "code", "source": {"a": [1]}, "outputs": 7}, code]), says="computed")
    yield case("odd-lines.ipynb", book([{"cell_type": "markdown", "source": ["a ", 1, None, ["b"], "lined"]}]), says="a lined")
    yield case("odd-outputs.ipynb", book([code | {"outputs": [None, 1, {"data": []}, {"data": {"text/plain": 1}}, {"text": [1, "out"]}]}]))
    yield case("odd-metadata.ipynb", json.dumps({"cells": [code], "metadata": [1], "nbformat": "x"}), says="computed")
    yield case("odd-language.ipynb", book([code], language_info={"name": "```\n# injected"}), says="computed")
    yield case("fences.ipynb", book([code | {"source": "`" * 10_000 + "\ncomputed"}]), says="computed")
    heading = {"cell_type": "heading", "source": "headed"}
    yield case("heading-text.ipynb", json.dumps({"worksheets": [{"cells": [heading | {"level": "x"}]}]}), says="headed")
    yield case("heading-huge.ipynb", json.dumps({"worksheets": [{"cells": [heading | {"level": 10**12}]}]}), says="headed")
    yield case("heading-list.ipynb", json.dumps({"worksheets": [{"cells": [heading | {"level": [1]}]}]}), says="headed")
    yield case(
        "heading-nan.ipynb", '{"worksheets": [{"cells": [{"cell_type": "heading", "source": "headed", "level": NaN}]}]}', says="headed"
    )
    yield case("odd-sheets.ipynb", json.dumps({"worksheets": {"cells": []}}), "content_mismatch")
    yield case("deep.ipynb", lambda: '{"cells":' + "[" * 100_000, "corrupt")
    yield case("cut.ipynb", book([code])[:-20], "corrupt")
    yield case("surrogates.ipynb", '{"cells": [{"cell_type": "markdown", "source": "\\ud800 lonely"}]}', says="lonely")
    yield case("number.ipynb", lambda: '{"cells": [], "n": ' + "9" * 100_000 + "}", "corrupt", "empty")
    yield case("many.ipynb", lambda: book([code] * 20_000), says="computed")
    yield case("list.ipynb", "[1, 2]", "content_mismatch")


def _mail() -> Iterator[Hostile]:
    head = "From: a@example.org\nSubject: {subject}\nMIME-Version: 1.0\n"

    def mail(kind: str, body: str, subject: str = "hostile") -> str:
        return head.format(subject=subject) + f"Content-Type: {kind}\n\n{body}"

    part = "--b\nContent-Type: text/plain\n\npart {}\n"
    yield case(
        "parts.eml", lambda: mail("multipart/mixed; boundary=b", "".join(map(part.format, range(10_000))) + "--b--"), says="part 9999"
    )
    nested = "Content-Type: message/rfc822\n\nSubject: inner\n"
    yield case("nested.eml", lambda: head.format(subject="outer") + nested * 500 + "\ninnermost", "indexed", "corrupt", says="outer")
    yield case(
        "nested-deeper.eml", lambda: head.format(subject="outer") + nested * 20_000 + "\ninnermost", "indexed", "corrupt", says="outer"
    )
    multi = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(500))
    yield case("nested-parts.eml", head.format(subject="outer") + multi, "indexed", "corrupt", says="outer")
    yield case("no-boundary.eml", mail("multipart/mixed", "unbounded words"), says="hostile")
    yield case("boundary.eml", mail('multipart/mixed; boundary="(.*)+$"', "--(.*)+$\n\nbounded"), says="bounded")
    yield case("addresses.eml", lambda: f"To: {'a@b.c, ' * 5_000}x@y.z\n" + mail("text/plain", "addressed"), says="addressed")
    yield case("comments.eml", lambda: f"To: {'(' * 5_000}\n" + mail("text/plain", "commented"), says="commented")
    yield case("subject.eml", lambda: mail("text/plain", "subjected", "x" * 500_000), says="subjected")
    yield case("encoded.eml", lambda: mail("text/plain", "encoded", "=?utf-8?q?" + "=41" * 20_000 + "?="), says="encoded")
    yield case("encoded-words.eml", lambda: mail("text/plain", "worded", "=?utf-8?b?QQ==?= " * 2_000), says="worded")
    yield case("charset.eml", mail("text/plain; charset=zlib_codec", "coded words"), says="coded words")
    yield case("date.eml", "Date: 99 Foo 99999 99:99:99 +9999\n" + mail("text/plain", "dated"), says="dated")
    base64 = "Content-Transfer-Encoding: base64\n" + head.format(subject="padded") + "Content-Type: text/plain\n\n"
    yield case("base64.eml", base64 + "!!!!===A", says="padded")
    yield case("uu.eml", base64.replace("base64", "x-uuencode") + "begin 644 ../../evil\n#####\nend", says="padded")
    yield case("file-name.eml", mail('application/pdf; name="../../../../etc/evil\x1b[31m.pdf"', "AAAA"), says="hostile")
    yield case("headers.eml", lambda: "".join(f"X-{n}: y\n" for n in range(50_000)) + mail("text/plain", "headed"), "content_mismatch")
    yield case("html.eml", lambda: mail("text/html", "<div>" * 20_000 + "deep"), "indexed", "corrupt", "parser_crashed")
    yield case("no-header.eml", "just some words", "content_mismatch")


def zipped(members: list[tuple[str, bytes]]) -> bytes:
    """A zip archive, in which a name may occur twice."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def docx(body: str, *more: tuple[str, bytes], head: str = "") -> bytes:
    """A small Word document with a body of one's own."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return zipped(
        [
            ("[Content_Types].xml", b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
             b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
             b'<Override PartName="/word/document.xml" ContentType="' + kind.encode() + b'"/></Types>'),
            ("_rels/.rels", f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="rId1" '
             f'Type="{_R}/officeDocument" Target="word/document.xml"/></Relationships>'.encode()),
            ("word/document.xml", f'{head}<w:document xmlns:w="{_W}" xmlns:r="{_R}"><w:body>{body}</w:body></w:document>'.encode()),
            *more,
        ]
    )  # fmt: skip


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def xlsx(rows: str, *, strings: str = "", styles: str = "", sheets: str = "", head: str = "") -> bytes:
    """A small workbook with rows of one's own."""
    sheets = sheets or '<sheet name="S" sheetId="1" r:id="rId1"/>'
    return zipped(
        [
            ("[Content_Types].xml", b"<Types/>"),
            ("xl/workbook.xml", f'{head}<workbook xmlns="{_S}" xmlns:r="{_R}"><sheets>{sheets}</sheets></workbook>'.encode()),
            ("xl/_rels/workbook.xml.rels", (
                f'<Relationships><Relationship Id="rId1" Type="{_R}/worksheet" Target="worksheets/s.xml"/>'
                f'<Relationship Id="rId2" Type="{_R}/sharedStrings" Target="strings.xml"/>'
                f'<Relationship Id="rId3" Type="{_R}/styles" Target="styles.xml"/></Relationships>').encode()),
            ("xl/strings.xml", f'<sst xmlns="{_S}">{strings}</sst>'.encode()),
            ("xl/styles.xml", f'<styleSheet xmlns="{_S}">{styles}</styleSheet>'.encode()),
            ("xl/worksheets/s.xml", f'<worksheet xmlns="{_S}"><sheetData>{rows}</sheetData></worksheet>'.encode()),
        ]
    )  # fmt: skip


def pptx(slides: str, relations: str, slide: str, *more: tuple[str, bytes]) -> bytes:
    """A small presentation: one member for a slide, and the list of slides of one's own."""
    return zipped(
        [
            ("[Content_Types].xml", b"<Types/>"),
            ("ppt/presentation.xml", f'<p:presentation xmlns:p="{_P}" xmlns:r="{_R}">{slides}</p:presentation>'.encode()),
            ("ppt/_rels/presentation.xml.rels", f"<Relationships>{relations}</Relationships>".encode()),
            ("ppt/slides/s.xml", slide.encode()),
            *more,
        ]
    )  # fmt: skip


def slide_of(text: str) -> str:
    return f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}"><p:sp><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sp></p:sld>'


def _packages(guard: str) -> Iterator[Hostile]:
    cell = '<row><c t="inlineStr"><is><t>celled</t></is></c></row>'
    yield case("bomb.docx", lambda: docx(paragraph("boom"), ("word/media/a.xml", b"\0" * (150 << 20))), "archive_bomb")
    yield case("bomb-text.docx", lambda: docx(paragraph("A" * (60 << 20))), "archive_bomb")
    yield case(
        "bomb-members.xlsx",
        lambda: zipped([("[Content_Types].xml", b""), ("xl/workbook.xml", b"")] + [(f"m{n}", b"") for n in range(10_001)]),
        "archive_bomb",
    )
    yield case("lying-size.docx", lambda: _lying(docx(paragraph("a lie"), ("word/zeros", b"\0" * (150 << 20)))), "archive_bomb", "corrupt")
    yield case("overlapping.docx", _overlapping, "archive_bomb", "corrupt")
    yield case("archives.docx", lambda: docx(paragraph("matryoshka"), ("word/embeddings/a.docx", _nested_archive())), says="matryoshka")
    evil = [
        (name, b"evil") for name in ("../../../../tmp/evil.txt", "/tmp/evil.txt", "C:\\evil.txt", "word/../../evil.txt", "\x1b[31mevil")
    ]
    yield case("traversal.docx", lambda: docx(paragraph("stays inside"), *evil), "indexed", "corrupt", says="stays inside")
    yield case("traversal.xlsx", lambda: xlsx(cell, sheets='<sheet name="../../evil" sheetId="1" r:id="rId1"/>'), says="celled")
    yield case("twice.docx", lambda: docx(paragraph("first"), ("word/document.xml", b"<x/>")), "indexed", "corrupt", "empty")
    yield case("laughs.docx", lambda: docx(paragraph("&a9;"), head=_LAUGHS), "indexed", "corrupt", "empty")
    yield case(
        "entity.docx", lambda: docx(paragraph("&leak; leaked"), head=_FILE_ENTITY.format(guard=guard)), "indexed", "corrupt", "empty"
    )
    yield case(
        "deep.docx",
        lambda: docx("<w:sdt><w:sdtContent>" * 20_000 + paragraph("deep") + "</w:sdtContent></w:sdt>" * 20_000),
        "indexed",
        "corrupt",
        "empty",
        "parser_crashed",
    )
    yield case(
        "table.docx",
        lambda: docx("<w:tbl><w:tr><w:tc>" * 500 + paragraph("cell") + "</w:tc></w:tr></w:tbl>" * 500),
        "indexed",
        "corrupt",
        "empty",
        "parser_crashed",
        "parser_timeout",
    )
    yield case("unclosed.docx", lambda: docx("<w:p><w:r><w:t>open"), "indexed", "corrupt", "empty")
    yield case(
        "external.docx",
        lambda: docx(
            paragraph("external"),
            (
                "word/_rels/document.xml.rels",
                f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="{_R}/attachedTemplate" '
                f'Target="file://{guard}" TargetMode="External"/></Relationships>'.encode(),
            ),
        ),
        says="external",
    )
    yield case("laughs.xlsx", lambda: xlsx(cell, head=_LAUGHS), "corrupt")
    yield case("entity.xlsx", lambda: xlsx(cell, strings="", head=_FILE_ENTITY.format(guard=guard)), "corrupt")
    yield case("index.xlsx", lambda: xlsx(f'<row><c t="s"><v>{"9" * 5_000}</v></c></row>', strings="<si><t>a</t></si>"), "corrupt")
    yield case("style.xlsx", lambda: xlsx(f'<row><c s="{"9" * 5_000}"><v>42</v></c></row>', strings="<si><t>a</t></si>"), says="42")
    yield case(
        "style-format.xlsx",
        lambda: xlsx('<row><c s="0"><v>42</v></c></row>', styles=f'<cellXfs><xf numFmtId="{"9" * 5_000}"/></cellXfs>'),
        says="42",
    )
    yield case(
        "numbers.xlsx",
        lambda: xlsx(
            '<row><c><v>1e400</v></c><c><v>nan</v></c><c s="0"><v>-1e300</v></c></row>', styles='<cellXfs><xf numFmtId="14"/></cellXfs>'
        ),
        says="inf",
    )
    yield case(
        "reference.xlsx",
        lambda: xlsx(f'<row r="{"9" * 50}"><c r="{"Z" * 50_000}9" t="inlineStr"><is><t>far away</t></is></c></row>'),
        says="far away",
    )
    yield case(
        "repeated.xlsx",
        lambda: xlsx('<row><c t="s"><v>0</v></c></row>' * 20_000, strings=f"<si><t>{'a' * 32_000}</t></si>"),
        "archive_bomb",
    )
    yield case("deep-strings.xlsx", lambda: xlsx(cell, strings="<si>" + "<r>" * 5_000 + "</r>" * 5_000 + "</si>"), "indexed", "corrupt")
    yield case(
        "sheets.xlsx",
        lambda: xlsx(cell, sheets="".join(f'<sheet name="{n}" sheetId="1" r:id="rId1"/>' for n in range(5_000))),
        says="celled",
    )
    yield case("cells.xlsx", lambda: xlsx("".join(f"<row><c><v>{n}</v></c></row>" for n in range(100_000))), says="99999")
    one = f'<Relationship Id="r1" Type="{_R}/slide" Target="slides/s.xml"/>'
    yield case("again.pptx", lambda: pptx('<p:sldId r:id="r1"/>' * 100_000, one, slide_of("again " * 2_000)), "archive_bomb")
    loop = (
        "ppt/slides/_rels/s.xml.rels",
        f'<Relationships><Relationship Id="r1" Type="{_R}/notesSlide" Target="s.xml"/></Relationships>'.encode(),
    )
    yield case("loop.pptx", lambda: pptx('<p:sldId r:id="r1"/>', one, slide_of("looping"), loop), says="looping")
    yield case("missing.pptx", lambda: pptx('<p:sldId r:id="r9"/>', one, slide_of("missing")), "corrupt")
    away = f'<Relationship Id="r1" Type="{_R}/slide" Target="../../../../../..{guard}"/>'
    yield case("traversal.pptx", lambda: pptx('<p:sldId r:id="r1"/>', away, slide_of("away")), "corrupt")
    groups = f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}">' + "<p:grpSp>" * 10_000 + "</p:grpSp>" * 10_000 + "</p:sld>"
    yield case("deep.pptx", lambda: pptx('<p:sldId r:id="r1"/>', one, groups), "corrupt", "empty")
    yield case("laughs.pptx", lambda: pptx('<p:sldId r:id="r1"/>', one, _LAUGHS + slide_of("&a9;")), "corrupt")
    sections = "<text:section>" * 10_000 + "<text:p>deep</text:p>" + "</text:section>" * 10_000
    yield case("deep.odt", lambda: office_files.odt(sections), "corrupt")
    yield case(
        "deep-spans.odt",
        lambda: office_files.odt("<text:p>" + "<text:span>" * 10_000 + "x" + "</text:span>" * 10_000 + "</text:p>"),
        "corrupt",
    )
    yield case(
        "spaces.odt",
        lambda: office_files.odt(f'<text:p>s<text:s text:c="{"9" * 5_000}"/><text:s text:c="99999999"/>paced</text:p>'),
        says="paced",
    )
    yield case("level.odt", lambda: office_files.odt(f'<text:h text:outline-level="{"9" * 5_000}">levelled</text:h>'), says="levelled")
    yield case(
        "laughs.odt",
        lambda: zipped([("mimetype", office_files.ODT_MIMETYPE.encode()), ("content.xml", (_LAUGHS + "<a>&a9;</a>").encode())]),
        "corrupt",
    )
    yield case("kind.odt", lambda: zipped([("mimetype", b"\x1b[31m" * 1000), ("content.xml", b"<a/>")]), "content_mismatch")
    yield case(
        "encrypted.docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500 + "EncryptedPackage".encode("utf-16-le"), "encrypted"
    )
    yield case("encrypted.xlsx", lambda: _flagged(xlsx(cell)), "encrypted")
    yield case("old.docx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "content_mismatch")
    yield case("other.docx", lambda: xlsx(cell), "content_mismatch")
    yield case("empty.xlsx", lambda: zipped([]), "corrupt", "content_mismatch")
    yield case("nothing.pptx", lambda: pptx("", "", slide_of("never shown")), "empty")
    yield case("sheet-away.xlsx", lambda: xlsx(cell).replace(b"worksheets/s.xml", b"worksheets/x.xml", 1), "corrupt")


def _lying(archive: bytes) -> bytes:
    """The directory says that every member inflates to 10 bytes."""
    data = bytearray(archive)
    position = data.find(b"PK\x01\x02")
    while position >= 0:
        data[position + 24 : position + 28] = struct.pack("<I", 10)
        position = data.find(b"PK\x01\x02", position + 4)
    return bytes(data)


def _overlapping() -> bytes:
    """A thousand members that are all the same compressed megabyte (Fifield, "A better zip bomb", 2019, in its simplest form)."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = stream.compress(b"\0" * (1 << 20)) + stream.flush()
    header = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 33, 0, len(packed), 1 << 20, 1, 0) + b"a"
    names = ["[Content_Types].xml", "word/document.xml", *(f"m{n}" for n in range(998))]
    directory = b"".join(
        struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, 0, len(packed), 1 << 20, len(name), 0, 0, 0, 0, 0, 0)
        + name.encode()
        for name in names
    )
    start = len(header) + len(packed)
    return header + packed + directory + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(names), len(names), len(directory), start, 0)


def _nested_archive(depth: int = 50) -> bytes:
    inner = b"the innermost"
    for level in range(depth):
        inner = zipped([(f"{level}.zip", inner)])
    return inner


def _flagged(archive: bytes) -> bytes:
    data = bytearray(archive)
    data[data.find(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _rtf() -> Iterator[Hostile]:
    yield case("deep.rtf", lambda: r"{\rtf1 " + "{" * 50_000 + "deep" + "}" * 50_001, "indexed", "corrupt", "empty", "parser_crashed")
    yield case("controls.rtf", lambda: r"{\rtf1 " + r"\b\i" * 100_000 + " styled}", says="styled")
    yield case("binary.rtf", r"{\rtf1 {\pict\bin2147483647 x}shown}", "indexed", "empty", "corrupt")
    yield case("unicode.rtf", r"{\rtf1\uc9999999999 \u-1?\u99999999999?\'zz kept}", "indexed", "empty", "corrupt")
    yield case("object.rtf", lambda: r"{\rtf1 {\object\objocx{\*\objdata " + "d0cf11e0" * 50_000 + r"}}embedded}", says="embedded")
    yield case("unclosed.rtf", r"{\rtf1 {\b open", "corrupt")
    yield case("closing.rtf", r"{\rtf1 a}" + "}" * 10_000, "indexed", "corrupt")
    yield case("not.rtf", "no rtf}", "content_mismatch")


def pdf(*objects: bytes, trailer: bytes = b"<< /Root 1 0 R >>", version: bytes = b"%PDF-1.7\n", end: bytes = b"%%EOF") -> bytes:
    """A PDF of objects numbered from 1, with a true cross-reference table."""
    data, offsets = version, []
    for number, each in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + table + b"trailer\n%s\nstartxref\n%d\n" % (trailer, len(data)) + end


CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>"


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data)


def shown(text: bytes) -> bytes:
    return stream(b"BT /F 12 Tf 72 700 Td (%s) Tj ET" % text)


def _pdf() -> Iterator[Hostile]:
    any_ending = ("indexed", "corrupt", "empty", "parser_timeout", "parser_memory", "parser_crashed")
    settled = ("indexed", "corrupt", "empty")
    yield case("plain.pdf", pdf(CATALOG, PAGES, PAGE, shown(b"printed words"), FONT), says="printed words")
    yield case("kids-loop.pdf", pdf(CATALOG, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"), *settled)
    yield case(
        "parent-loop.pdf", pdf(CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 1 /Parent 2 0 R >>", PAGE, shown(b"x"), FONT), *settled
    )
    yield case(
        "page-count.pdf", pdf(CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count 2147483647 >>", PAGE, shown(b"counted"), FONT), *any_ending
    )
    yield case("negative-count.pdf", pdf(CATALOG, b"<< /Type /Pages /Kids [3 0 R] /Count -5 >>", PAGE, shown(b"x"), FONT), *settled)
    yield case(
        "same-page.pdf",
        lambda: pdf(CATALOG, b"<< /Type /Pages /Kids [" + b"3 0 R " * 5_000 + b"] /Count 5000 >>", PAGE, shown(b"again"), FONT),
        *any_ending,
    )
    yield case("previous-loop.pdf", pdf(CATALOG, PAGES, PAGE, shown(b"previous"), FONT, trailer=b"<< /Root 1 0 R /Prev 9 >>"), *settled)
    yield case("root-loop.pdf", pdf(b"1 0 R"), *settled)
    yield case("length-loop.pdf", pdf(CATALOG, PAGES, PAGE, b"<< /Length 4 0 R >>\nstream\nBT ET\nendstream", FONT), *settled)
    yield case(
        "script.pdf",
        pdf(
            b"<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >> >>",
            PAGES,
            PAGE,
            shown(b"scripted"),
            FONT,
        ),
        says="scripted",
    )
    yield case(
        "launch.pdf",
        pdf(b"<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /Launch /F (/bin/sh) >> >>", PAGES, PAGE, shown(b"launched"), FONT),
        says="launched",
    )
    yield case(
        "inflated.pdf",
        lambda: pdf(CATALOG, PAGES, PAGE, stream(zlib.compress(b"BT (a) Tj ET\n" * 8_000_000, 9), b"/Filter /FlateDecode"), FONT),
        *any_ending,
    )
    twice = lambda: zlib.compress(zlib.compress(b"\0" * (300 << 20), 9), 9)  # noqa: E731
    yield case(
        "inflated-twice.pdf", lambda: pdf(CATALOG, PAGES, PAGE, stream(twice(), b"/Filter [/FlateDecode /FlateDecode]"), FONT), *any_ending
    )
    yield case("deep-array.pdf", lambda: pdf(CATALOG, PAGES, PAGE, b"[" * 100_000, FONT), *any_ending)
    yield case("deep-content.pdf", lambda: pdf(CATALOG, PAGES, PAGE, stream(b"q " * 100_000 + b"BT /F 12 Tf (deep) Tj ET"), FONT), *settled)
    yield case(
        "form-loop.pdf",
        pdf(
            CATALOG,
            PAGES,
            PAGE.replace(b"/Font", b"/XObject << /X 4 0 R >> /Font"),
            stream(b"/X Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 4 0 R >> >>"),
            FONT,
        ),
        *any_ending,
    )
    yield case("media-box.pdf", pdf(CATALOG, PAGES, PAGE.replace(b"612 792", b"1e38 1e38"), shown(b"boxed"), FONT), *settled)
    yield case("no-text.pdf", pdf(CATALOG, PAGES, PAGE, stream(b""), FONT), "empty")
    yield case("late-header.pdf", lambda: b"%" * 1_000 + b"\n" + pdf(CATALOG, PAGES, PAGE, shown(b"late"), FONT), *settled)
    yield case("too-late-header.pdf", lambda: b"%" * 2_000 + b"\n" + pdf(CATALOG, PAGES, PAGE, shown(b"late"), FONT), "content_mismatch")
    yield case(
        "polyglot.pdf", lambda: pdf(CATALOG, PAGES, PAGE, shown(b"two faces"), FONT) + zipped([("a.txt", b"other face")]), says="two faces"
    )
    yield case("no-end.pdf", pdf(CATALOG, PAGES, PAGE, shown(b"endless"), FONT, end=b""), *settled)
    yield case("header-only.pdf", b"%PDF-1.7\n", "corrupt")
    yield case("random.pdf", lambda: b"%PDF-1.7\n" + random.Random(2).randbytes(200_000), "corrupt", "empty")


def _damaged() -> Iterator[Hostile]:
    """Files of every binary format, cut off and with flipped bits."""
    whole: dict[str, Make] = {
        "docx": office_files.guide_docx,
        "xlsx": office_files.sales_xlsx,
        "pptx": office_files.review_pptx,
        "odt": lambda: office_files.odt("<text:p>one paragraph</text:p>"),
        "pdf": lambda: office_files.pages_pdf(["one page"], ["another page"]),
        "rtf": lambda: rb"{\rtf1\ansi one {\b bold} paragraph\par another}",
        "eml": lambda: office_files.mail("damaged", "some words").as_bytes(),
    }
    for suffix, make in whole.items():
        for ratio in (0.1, 0.5, 0.95):
            name = f"cut-{int(ratio * 100)}.{suffix}"
            yield case(
                name, lambda make=make, ratio=ratio: make()[: int(len(make()) * ratio)], "corrupt", "indexed", "empty", "content_mismatch"
            )
        for seed in range(4):
            endings = ("corrupt", "indexed", "empty", "content_mismatch", "encrypted", "archive_bomb", "undecodable")
            yield case(f"flipped-{seed}.{suffix}", lambda make=make, seed=seed: _flipped(make(), seed), *endings)


def _flipped(data: bytes, seed: int) -> bytes:
    chance, flipped = random.Random(seed), bytearray(data)
    for _ in range(1 + len(data) // 500):
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _disguised() -> Iterator[Hostile]:
    """One thing under the name of another."""
    png = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    for suffix in ("txt", "md", "html", "json", "ipynb", "py", "csv", "xml", "pdf", "docx", "xlsx", "pptx", "odt", "rtf", "eml"):
        yield case(f"picture.{suffix}", png, "content_mismatch")
    for name, content in {
        "zip": zipped([("a.txt", b"inside")]),
        "gzip": gzip.compress(b"inside"),
        "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 100,
        "windows": b"MZ\x90\x00" + b"\0" * 100,
        "sqlite": b"SQLite format 3\x00" + b"\0" * 100,
        "pdf": pdf(CATALOG),
        "gif": b"GIF89a/*" + b"a" * 100 + b"*/=1;",
        "rar": b"Rar!\x1a\x07\x00" + b"a" * 100,
        "7z": b"7z\xbc\xaf\x27\x1c" + b"a" * 100,
    }.items():
        yield case(f"really-{name}.txt", content, "content_mismatch")
    yield case("unknown.bin", "words", "unsupported_type")
    yield case("program.exe", b"MZ\x90\x00", "unsupported_type")
    yield case("archive.zip", zipped([("a.txt", b"inside")]), "unsupported_type")
    yield case("archive.tar.gz", gzip.compress(b"inside"), "unsupported_type")
    yield case("words.TXT", "shouted", says="shouted")
    yield case("page.html.txt", "<p>not a page</p>", says="<p>not a page</p>")
    yield case("nothing.md", b"", "empty")
    yield case("html.docx", "<html><p>page</p></html>", "content_mismatch")
    yield case("text.pdf", "plain words", "content_mismatch")
