"""Files of the formats that a person's programs write, made small."""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from email.message import EmailMessage
from typing import Any

import docx
import openpyxl
import pptx
from openpyxl.comments import Comment
from pptx.util import Inches
from reportlab.pdfgen import canvas

ODT_MIMETYPE = "application/vnd.oasis.opendocument.text"
ODS_MIMETYPE = "application/vnd.oasis.opendocument.spreadsheet"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def sales_xlsx() -> bytes:
    """Two tables, one that begins at B3, an empty sheet and a hidden one."""
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Sales 2024"
    sheet.append(["Region", "Amount", "When", "Note"])
    sheet.append(["North", 1200.5, dt.date(2024, 3, 1), "first | pipe"])
    sheet.append(["South", 7, dt.datetime(2024, 3, 2, 13, 45, 10), "two\nlines"])  # noqa: DTZ001 - a cell has no zone
    sheet["A1"].comment = Comment("a remark", "Ann")
    workbook.create_sheet("Empty")
    other = workbook.create_sheet("Größe & Co")
    other["B3"], other["C3"], other["E4"] = "x", True, 0.1 + 0.2
    other["B5"], other["C5"] = "00123", 12345678901234
    other["B6"], other["C6"] = dt.time(8, 30), dt.timedelta(hours=30)
    hidden = workbook.create_sheet("Hidden")
    hidden["A1"] = "not shown"
    hidden.sheet_state = "hidden"
    return saved(workbook)


def long_xlsx(row_count: int) -> bytes:
    """A table that takes many chunks."""
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet("Meters")
    sheet.append(["Meter", "Reading"])
    for number in range(1, row_count):
        sheet.append([f"meter {number}", number / 4])
    return saved(workbook)


def formulas_xlsx() -> bytes:
    """A formula with its last result, one without, an error, inline strings and rows without numbers."""
    ns = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    rows = (
        '<row><c t="inlineStr"><is><r><t>Tot</t></r><r><t>al</t></r></is></c><c><f>SUM(B2:B3)</f><v>42</v></c></row>'
        '<row r="7"><c r="B7"><f>NOW()</f></c><c r="C7" t="e"><v>#DIV/0!</v></c><c r="D7" t="str"><f>A1</f><v>done</v></c></row>'
        '<row><c t="s"><v>0</v></c></row>'
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{ns}" xmlns:r="{relation}"><sheets><sheet name="Result" sheetId="1" r:id="rId1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships><Relationship Id="rId1" Type="{relation}/worksheet" Target="/xl/worksheets/sheet1.xml"/>'
            f'<Relationship Id="rId2" Type="{relation}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        )
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{ns}"><si><t>東京</t><rPh sb="0" eb="2"><t>トウキョウ</t></rPh></si></sst>')
        archive.writestr("xl/worksheets/sheet1.xml", f'<worksheet xmlns="{ns}"><sheetData>{rows}</sheetData></worksheet>')
    return buffer.getvalue()


def review_pptx() -> bytes:
    """A title with bullets and notes, a table with a text box, an empty slide, a group, notes on the last slide only."""
    presentation = pptx.Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "Größe und 日本"
    first.placeholders[1].text = "bullet one\nbullet two"
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Numbers"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for row, column, text in ((0, 0, "key"), (0, 1, "value"), (1, 0, "a"), (1, 1, "b")):
        table.cell(row, column).text = text
    second.shapes.add_textbox(Inches(1), Inches(3), Inches(3), Inches(1)).text_frame.text = "a box\vwith a break"
    presentation.slides.add_slide(presentation.slide_layouts[6])
    last = presentation.slides.add_slide(presentation.slide_layouts[6])
    box = last.shapes.add_group_shape().shapes.add_textbox(Inches(1), Inches(1), Inches(1), Inches(1))
    box.text_frame.text = "in a group"
    last.notes_slide.notes_text_frame.text = "Say thanks."
    return saved(presentation)


def reordered_pptx() -> bytes:
    """Three slides, the first of which was moved to the end, and one that is hidden."""
    presentation = pptx.Presentation()
    for number in range(3):
        slide = presentation.slides.add_slide(presentation.slide_layouts[5])
        slide.shapes.title.text = f"made as number {number}"
        slide.notes_slide.notes_text_frame.text = f"notes of number {number}"
    order = presentation.slides._sldIdLst
    order.append(order[0])
    presentation.slides[0]._element.set("show", "0")
    return saved(presentation)


def long_pptx() -> bytes:
    """Twelve slides, of which each takes more than one chunk."""
    presentation = pptx.Presentation()
    for number in range(1, 13):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = f"Part {number}"
        slide.placeholders[1].text = "\n".join(f"Point {point} of part {number} is worth a sentence." for point in range(10))
    return saved(presentation)


def pages_pdf(*pages: list[str]) -> bytes:
    """A page for each list of lines."""
    buffer = io.BytesIO()
    paper = canvas.Canvas(buffer)
    for lines in pages:
        for number, line in enumerate(lines):
            paper.drawString(72, 700 - 20 * number, line)
        paper.showPage()
    paper.save()
    return buffer.getvalue()


def guide_docx() -> bytes:
    """Headings of two levels, a list and a table."""
    document = docx.Document()
    document.add_heading("Guide", 1)
    document.add_paragraph("What this is.")
    document.add_heading("Install", 2)
    document.add_paragraph("Run the installer.", style="List Bullet")
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    document.add_heading("Use", 2)
    document.add_paragraph("Drop a file.")
    return saved(document)


def notebook(*cells: dict[str, Any], **metadata: Any) -> bytes:
    """A notebook of format 4."""
    return json.dumps({"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def mail(subject: str, text: str, *, html: str | None = None, attachment: tuple[str, bytes] | None = None) -> EmailMessage:
    """A message of today's programs."""
    message = EmailMessage()
    message["From"] = "Ann Müller <ann@example.com>"
    message["To"] = "bob@example.com"
    message["Subject"] = subject
    message["Date"] = "Mon, 01 Apr 2024 10:00:00 +0000"
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    if attachment is not None:
        message.add_attachment(attachment[1], maintype="application", subtype="octet-stream", filename=attachment[0])
    return message


def odt(body: str) -> bytes:
    """An OpenDocument text with this content of `office:text`."""
    return _opendocument(ODT_MIMETYPE, f"<office:text>{body}</office:text>")


def ods(*sheets: tuple[str, str], manifest: str = "") -> bytes:
    """An OpenDocument spreadsheet of these names and contents of `table:table`."""
    tables = "".join(f'<table:table table:name="{name}">{rows}</table:table>' for name, rows in sheets)
    return _opendocument(ODS_MIMETYPE, f"<office:spreadsheet>{tables}</office:spreadsheet>", manifest=manifest)


def _opendocument(mimetype: str, body: str, *, manifest: str = "") -> bytes:
    names = " ".join(f'xmlns:{prefix}="{_ODF}:{prefix}:1.0"' for prefix in ("office", "text", "table"))
    content = f"<office:document-content {names}><office:body>{body}</office:body></office:document-content>"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", mimetype, zipfile.ZIP_STORED)
        archive.writestr("content.xml", f'<?xml version="1.0" encoding="UTF-8"?>{content}')
        archive.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{_ODF}:manifest:1.0">{manifest}</manifest:manifest>')
    return buffer.getvalue()
