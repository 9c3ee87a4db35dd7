import pytest
from expressions import column, values
from running import run

from forebay.telemetry.kql.errors import KqlError


def _url(**parts):
    empty = dict.fromkeys(["Scheme", "Host", "Port", "Path", "Username", "Password"], "") | {"Query Parameters": {}, "Fragment": ""}
    return empty | {{"Query": "Query Parameters"}.get(name, name): value for name, value in parts.items()}


def test_parts_of_urls():
    urls = {
        "https://ann:secret@shop.example:8443/cart/items?z=1&a=2&z=3&empty=&=none&flag#top": _url(
            Scheme="https", Host="shop.example", Port="8443", Path="/cart/items", Username="ann", Password="secret",
            Query={"a": "2", "z": ["1", "3"]}, Fragment="top",
        ),
        "http://shop.example": _url(Scheme="http", Host="shop.example"),
        "http://shop.example/": _url(Scheme="http", Host="shop.example"),
        "http://shop.example/?a=1": _url(Scheme="http", Host="shop.example", Path="/", Query={"a": "1"}),
        "http://ann@shop.example/x": _url(Scheme="http", Host="ann@shop.example", Path="/x"),
        "http://[::1]:80/": _url(Scheme="http", Host="[::1]", Port="80"),
        "/only/a/path": _url(),
        "": _url(),
        None: _url(),
    }  # fmt: skip
    assert column("parse_url(x)", "string", list(urls)) == list(urls.values())
    assert column("tostring(parse_url(x).Host)", "string", ["ftp://files.example/a"]) == ["files.example"]
    assert column("parse_urlquery(x)", "string", ["b=2&a=1", "", "b=%20"]) == [
        {"Query Parameters": {"a": "1", "b": "2"}}, {"Query Parameters": {}}, {"Query Parameters": {"b": "%20"}},
    ]  # fmt: skip


def test_the_first_record_of_csv():
    records = {
        "a,b,,d": ["a", "b", "", "d"],
        '"a,b",c': ["a,b", "c"],
        '"say ""hi""",x': ['say "hi"', "x"],
        '"two\nlines",x\nsecond,record': ["two\nlines", "x"],
        "a,b\r\nc,d": ["a", "b"],
        'a "quoted" word,b': ['a "quoted" word', "b"],
        '"open,end': ["open,end"],
        '"a"b,c': ["ab", "c"],
        '"",': ["", ""],
        "": [""],
    }
    assert column("parse_csv(x)", "string", list(records)) == list(records.values())


def test_xml():
    documents = {
        "<a/>": {"a": None},
        "<a>text</a>": {"a": "text"},
        "<a>12.5</a>": {"a": 12.5},
        "<a>007</a>": {"a": "007"},
        "<a id='x'>text</a>": {"a": {"@id": "x", "#text": "text"}},
        "<a>text<b>1</b><b>2</b><b/><c><![CDATA[<d>]]></c></a>": {"a": {"#text": "text", "b": [1, 2, None], "c": "<d>"}},
        "<?xml version='1.0'?><!-- note --><a>&lt;&#65;</a>": {"a": "<A"},
        "<a><b></a>": None,
        "text": None,
        "": None,
        "<!DOCTYPE a [<!ENTITY e 'eeeeeeeeee'>]><a>&e;</a>": None,
        "<a>" * 200 + "</a>" * 200: None,
    }
    assert column("parse_xml(x)", "string", list(documents)) == list(documents.values())


def test_paths():
    def parts(*values):
        names = ["Scheme", "RootPath", "DirectoryPath", "DirectoryName", "Filename", "Extension", "AlternateDataStreamName"]
        return dict(zip(names, values, strict=True))

    paths = {
        r"D:\logs\app\today.log": parts("", "D:", r"D:\logs\app", "app", "today.log", "log", ""),
        "/var/log/syslog": parts("", "", "/var/log", "log", "syslog", "", ""),
        "today.log": parts("", "", "", "", "today.log", "log", ""),
        "file://D:/x.tar.gz:hidden": parts("file", "D:", "D:", "", "x.tar.gz", "gz", "hidden"),
        "": parts("", "", "", "", "", "", ""),
    }
    assert column("parse_path(x)", "string", list(paths)) == list(paths.values())


def test_command_lines_of_windows():
    lines = {
        r"copy /y from.txt to.txt": ["copy", "/y", "from.txt", "to.txt"],
        r'"C:\Program Files\x.exe" "two words" plain': [r"C:\Program Files\x.exe", "two words", "plain"],
        r'x "a\"b" a\\b "c\\" \\\"d': ["x", 'a"b', r"a\\b", "c\\", '\\"d'],
        r'x "a"" b ""': ["x", 'a"', "b", ""],  # of two quotes within quotes one stays, and the quotes end
        "": None,
    }
    assert column("parse_command_line(x, 'windows')", "string", list(lines)) == list(lines.values())
    assert values(["parse_command_line('a b', 'unix')"]) == {"parse_command_line('a b', 'unix')": None}


def test_paths_into_json_texts():
    expected = {
        'extract_json(\'$.a.b[1]\', \'{"a": {"b": [1, "two"]}}\')': "two",
        'extract_json("$[\'a b\'].c", \'{"a b": {"c": {"d": 1}}}\')': '{"d":1}',
        "extractjson('$.a', '{\"a\": 5}', typeof(int))": 5,
        "extract_json('$.b', '{\"a\": 5}')": "",
        "extract_json('$.a', 'no json')": "",
        "extract_json('$.a', '')": "",
    }
    assert values(expected) == expected


@pytest.mark.parametrize("path", ["a.b", "$..a", "$.*", "$[", "$.a[-1]", ""])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(KqlError, match="expected a constant path"):
        run(f"print extract_json('{path}', '[]')")


@pytest.mark.parametrize("call", ["parse_version('1.2')", "parse_user_agent('x', 'browser')"])
def test_what_cannot_be_exact_is_refused_with_what_to_do(call):
    with pytest.raises(KqlError, match="not supported") as caught:
        run(f"print {call}")
    assert caught.value.diagnostics[0].hint
