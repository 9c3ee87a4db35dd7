import base64
import gzip
import zlib

import pytest
from expressions import column, values

TEXTS = ["", "plain", "añ😀", "a" * 3000, "\x00", "50% + a b/c?d=e"]


def test_base64_of_texts_bytes_and_guids():
    assert column("base64_encode_tostring(x)", "string", TEXTS) == [base64.b64encode(text.encode()).decode() for text in TEXTS]
    assert column("base64_decode_tostring(base64_encode_tostring(x))", "string", TEXTS) == TEXTS
    expected = {
        "base64_decode_tostring('no base64!')": "",
        "base64_decode_tostring('/w==')": "",  # no UTF-8
        "base64_decode_toarray('AP8=')": [0, 255],
        "base64_decode_toarray('AP8')": None,
        "base64_encode_fromarray(dynamic([0, 255]))": "AP8=",
        "base64_encode_fromarray(dynamic([0, 256]))": "",
        "base64_encode_fromarray(dynamic('x'))": "",
        "base64_encode_fromguid(guid(00112233-4455-6677-8899-aabbccddeeff))": "MyIRAFVEd2aImaq7zN3u/w==",
        "base64_decode_toguid('MyIRAFVEd2aImaq7zN3u/w==')": "00112233-4455-6677-8899-aabbccddeeff",
        "base64_decode_toguid('AP8=')": None,
        "base64_encodestring('a')": "YQ==",
        "base64_decodestring('YQ==')": "a",
    }
    assert values(expected) == expected


def test_urls():
    expected = {
        "url_encode('a b&c=ñ/~')": "a+b%26c%3d%c3%b1%2f~",
        "url_encode_component('a b&c=ñ/~')": "a%20b%26c%3d%c3%b1%2f~",
        "url_decode('a%20b+c%3D%c3%b1')": "a b c=ñ",
        "url_decode('100%')": "100%",
    }
    assert values(expected) == expected
    assert column("url_decode(url_encode(x))", "string", TEXTS) == TEXTS
    assert column("url_decode(url_encode_component(x))", "string", TEXTS) == TEXTS


@pytest.mark.parametrize(("name", "module"), [("gzip", gzip), ("zlib", zlib)])
def test_compressed_texts_are_read_by_others_and_theirs_by_us(name, module):
    compressed = column(f"{name}_compress_to_base64_string(x)", "string", TEXTS)
    assert [module.decompress(base64.b64decode(each)).decode() if each else "" for each in compressed] == TEXTS
    assert len(compressed[3]) < 200
    theirs = [base64.b64encode(module.compress(text.encode())).decode() for text in TEXTS]
    assert column(f"{name}_decompress_from_base64_string(x)", "string", theirs) == TEXTS
    assert column(f"{name}_decompress_from_base64_string(x)", "string", ["", "x", "eAE=", theirs[1][:-8]]) == ["", "", "", ""]


def test_what_decompresses_to_too_much_is_not_decompressed():
    bomb = base64.b64encode(zlib.compress(b"a" * 20_000_000)).decode()
    assert column("zlib_decompress_from_base64_string(x)", "string", [bomb]) == [""]


def test_code_points():
    expected = {
        "unicode_codepoints_from_string('aé😀')": [97, 233, 128512],
        "to_utf8('')": [],
        "unicode_codepoints_to_string(97, dynamic([233, [128512]]))": "aé😀",
        "make_string(55296)": "",
        "make_string(97, -1)": "",
        "make_string(dynamic(['a']))": "",
        "isascii('az')": True,
        "isascii('é')": False,
        "isutf8('é')": True,
    }
    assert values(expected) == expected


def test_punycode():
    expected = {
        "punycode_from_string('bücher')": "bcher-kva",
        "punycode_to_string('bcher-kva')": "bücher",
        "punycode_to_string('é')": "",
        "punycode_domain_to_string('Bücher.example.org')": "xn--Bcher-kva.example.org",
        "punycode_domain_to_string('日本。jp')": "xn--wgv71a.jp",
        "punycode_domain_from_string('xn--bcher-kva.example')": "bücher.example",
        "punycode_from_string(strrep('é', 1024))": "",  # too long
    }
    assert values(expected) == expected


def test_hexadecimal_digits():
    expected = {
        "tohex(3054)": "bee",
        "tohex(-1)": "ffffffffffffffff",
        "tohex(int(-1))": "ffffffff",
        "tohex(3054, 6)": "000bee",
        "tohex(3054, 2)": "bee",
        "tohex(3054, 100)": "0000000000000bee",
        "tohex(3054, -5)": "bee",
        "tohex(long(null))": "",
    }
    assert values(expected) == expected
