"""The formats that can be read. One line each: how a file is recognised, read and chunked, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Reader = Literal["text", "html", "notebook", "pdf", "document", "opendocument", "spreadsheet", "slides", "mail"]
SplitBy = Literal["code", "markdown", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What is known of a kind of file before one is opened."""

    name: str
    suffixes: tuple[str, ...]  # lower case, with the dot
    content_types: tuple[str, ...] = ()
    reader: Reader = "text"  # who turns the bytes into text
    is_binary: bool = False  # the bytes themselves are not text in one encoding
    chunker: SplitBy = "text"
    grammar: str | None = None  # for code: the module of a tree-sitter grammar, and its function if that is not `language`
    language: str | None = None
    file_names: tuple[str, ...] = ()  # lower case; names that projects have without a suffix
    kept: str = "every character"
    lost: str = "nothing"


def _code(name: str, *suffixes: str, grammar: str, language: str | None = None, content_types: tuple[str, ...] = ()) -> Format:
    return Format(name=name, suffixes=suffixes, content_types=content_types, chunker="code", grammar=grammar, language=language or name)


def _plain(name: str, *suffixes: str, content_types: tuple[str, ...] = ()) -> Format:
    return Format(name=name, suffixes=suffixes, content_types=content_types, language=name)


_OFFICE = "application/vnd.openxmlformats-officedocument"

PLAIN_TEXT = Format(
    name="text",
    suffixes=(".txt", ".text", ".log", ".rst", ".adoc", ".tex", ".cfg", ".conf", ".ini", ".properties", ".diff", ".patch"),
    content_types=("text/plain",),
    file_names=(
        *("authors", "changelog", "changes", "codeowners", "contributing", "contributors", "copying", "copyright", "dockerfile"),
        *("gemfile", "install", "jenkinsfile", "license", "licence", "maintainers", "makefile", "news", "notice", "procfile", "readme"),
        *("todo", "vagrantfile", "version"),
    ),
)
# Accepted on trust (`FOREBAY_ACCEPT_UNKNOWN_TEXT`): content that turns out not to be text is an unsupported type.
UNKNOWN_TEXT = Format(name="unknown_text", suffixes=())

FORMATS: tuple[Format, ...] = (
    PLAIN_TEXT,
    Format(name="markdown", suffixes=(".md", ".markdown"), content_types=("text/markdown", "text/x-markdown"), chunker="markdown"),
    _code("python", ".py", ".pyi", grammar="tree_sitter_python", content_types=("text/x-python",)),
    _code("javascript", ".js", ".mjs", ".cjs", ".jsx", grammar="tree_sitter_javascript", content_types=("text/javascript",)),
    _code("typescript", ".ts", ".mts", ".cts", grammar="tree_sitter_typescript:language_typescript"),
    _code("tsx", ".tsx", grammar="tree_sitter_typescript:language_tsx", language="typescript"),
    _code("go", ".go", grammar="tree_sitter_go"),
    _code("rust", ".rs", grammar="tree_sitter_rust"),
    _code("java", ".java", grammar="tree_sitter_java"),
    _code("c", ".c", ".h", grammar="tree_sitter_c"),
    _code("cpp", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".ipp", grammar="tree_sitter_cpp"),
    _code("csharp", ".cs", grammar="tree_sitter_c_sharp"),
    _code("ruby", ".rb", ".rake", ".gemspec", grammar="tree_sitter_ruby"),
    _code("css", ".css", grammar="tree_sitter_css", content_types=("text/css",)),
    _code("toml", ".toml", grammar="tree_sitter_toml"),
    _code("yaml", ".yaml", ".yml", grammar="tree_sitter_yaml", content_types=("text/yaml", "text/x-yaml")),
    _plain("sql", ".sql"),
    _plain("shell", ".sh", ".bash", ".zsh", ".fish", content_types=("text/x-shellscript",)),
    _plain("powershell", ".ps1", ".psm1"),
    _plain("kotlin", ".kt", ".kts"),
    _plain("swift", ".swift"),
    _plain("scala", ".scala"),
    _plain("php", ".php"),
    _plain("lua", ".lua"),
    _plain("perl", ".pl", ".pm"),
    _plain("r", ".r"),
    _plain("scss", ".scss", ".sass", ".less"),
    _plain("terraform", ".tf", ".tfvars", ".hcl"),
    _plain("protobuf", ".proto"),
    _plain("graphql", ".graphql", ".gql"),
    Format(name="xml", suffixes=(".xml", ".xsd", ".xsl", ".xslt", ".wsdl"), content_types=("text/xml",)),
    Format(name="json", suffixes=(".json", ".jsonl"), content_types=("text/json",)),
    Format(name="csv", suffixes=(".csv", ".tsv"), content_types=("text/csv", "text/tab-separated-values")),
    Format(
        name="html",
        suffixes=(".html", ".htm"),
        content_types=("text/html",),
        reader="html",
        chunker="markdown",
        kept="the title, headings, paragraphs, lists, tables, links and emphasis, as Markdown",
        lost="scripts, styles, comments, meta data other than the title, and what a script would add",
    ),
    Format(
        name="notebook",
        suffixes=(".ipynb",),
        reader="notebook",
        chunker="markdown",
        kept="text cells, code cells, and what they printed as text, as Markdown with fenced code; errors by name and message",
        lost="pictures, HTML and widgets among the outputs, tracebacks, meta data",
    ),
    Format(
        name="pdf",
        suffixes=(".pdf",),
        content_types=("application/pdf",),
        reader="pdf",
        is_binary=True,
        kept="the text layer, page by page, in the order of reading as far as it can be told; words divided at line ends are joined",
        lost="pictures and scanned text (there is no OCR), layout, form values, annotations, attachments",
    ),
    Format(
        name="docx",
        suffixes=(".docx",),
        content_types=(f"{_OFFICE}.wordprocessingml.document",),
        reader="document",
        is_binary=True,
        chunker="markdown",
        kept="headings, paragraphs, lists, tables, links and emphasis, as Markdown",
        lost="pictures, comments, tracked deletions, page numbers, other formatting",
    ),
    Format(
        name="odt",
        suffixes=(".odt",),
        content_types=("application/vnd.oasis.opendocument.text",),
        reader="opendocument",
        is_binary=True,
        chunker="markdown",
        kept="headings, paragraphs, lists, tables and footnotes, as Markdown",
        lost="pictures, comments, tracked deletions, links' targets, page numbers, formatting",
    ),
    Format(
        name="rtf",
        suffixes=(".rtf",),
        content_types=("application/rtf",),
        reader="document",
        is_binary=True,
        chunker="markdown",
        kept="paragraphs, tables, links, footnotes, bold and italic, as Markdown",
        lost="pictures, headings as such (RTF has only large type), emoji written as surrogate pairs, formatting",
    ),
    Format(
        name="xlsx",
        suffixes=(".xlsx", ".xlsm"),
        content_types=(f"{_OFFICE}.spreadsheetml.sheet",),
        reader="spreadsheet",
        is_binary=True,
        kept="every sheet by name, also hidden ones; rows by line and cells by tab; dates in ISO form; the last results of formulas",
        lost="formulas, number formats (0.25, not 25 %), comments, charts, pictures, macros; empty rows leave no line",
    ),
    Format(
        name="ods",
        suffixes=(".ods",),
        content_types=("application/vnd.oasis.opendocument.spreadsheet",),
        reader="opendocument",
        is_binary=True,
        kept="every sheet by name, also hidden ones; rows by line and cells by tab; dates in ISO form; the last results of formulas",
        lost="formulas, number formats (0.25, not 25 %), remarks, charts, pictures, macros; empty rows leave no line",
    ),
    Format(
        name="pptx",
        suffixes=(".pptx", ".pptm"),
        content_types=(f"{_OFFICE}.presentationml.presentation",),
        reader="slides",
        is_binary=True,
        kept="the text of every slide, also hidden ones, with its tables and speaker notes",
        lost="pictures, charts, diagrams (SmartArt), comments, slide numbers and footers, formatting",
    ),
    Format(
        name="eml",
        suffixes=(".eml",),
        content_types=("message/rfc822",),
        reader="mail",
        is_binary=True,
        kept="subject, from, to, cc, date; the text (of alternatives the plain one, else HTML as Markdown); forwarded messages; "
        "names of attachments",
        lost="what attachments contain, other headers",
    ),
)

_BY_SUFFIX = {suffix: format for format in FORMATS for suffix in format.suffixes}
_BY_FILE_NAME = {name: format for format in FORMATS for name in format.file_names}
_BY_CONTENT_TYPE = {content_type: format for format in FORMATS for content_type in format.content_types}


def format_of_name(name: str) -> Format | None:
    """The format that a file's name announces, case ignored; None when it announces none that can be read."""
    path = PurePosixPath(name.lower())
    return _BY_SUFFIX.get(path.suffix) or _BY_FILE_NAME.get(path.name)


def format_of_text_type(content_type: str) -> Format | None:
    """The format of a declared `text/...` type, plain text when the subtype is not known; None for any other type."""
    if not content_type.startswith("text/"):
        return None
    return _BY_CONTENT_TYPE.get(content_type, PLAIN_TEXT)
