"""Encodings: base64, URLs, compression, code points, Punycode, hexadecimal.

Source: https://learn.microsoft.com/kusto/query/scalar-functions
"""

from __future__ import annotations

from forebay.telemetry.kql.functions import encodings_python
from forebay.telemetry.kql.functions.argument import Argument
from forebay.telemetry.kql.functions.registry import operator, scalar

# base64

scalar(
    "base64_encode_tostring(text: string) -> string",
    "to_base64(encode({text.raw}))",
    "A text, in UTF-8, as base64.",
    nulls="propagate",
    aliases=("base64_encodestring",),
)
scalar(
    "base64_decode_tostring(encoded: string) -> string",
    "TRY(decode(from_base64({encoded.raw})))",
    "The text that base64 says; '' where it says none in UTF-8.",
    aliases=("base64_decodestring",),
)
scalar(
    "base64_decode_toarray(encoded: string) -> dynamic",
    None,
    "The bytes that base64 says, as an array of numbers.",
    python=encodings_python.base64_decode_toarray,
)
scalar(
    "base64_encode_fromarray(bytes: dynamic) -> string",
    None,
    "An array of bytes as base64.",
    python=encodings_python.base64_encode_fromarray,
)
scalar("base64_decode_toguid(encoded: string) -> guid", None, "The guid that base64 says.", python=encodings_python.base64_decode_toguid)
scalar("base64_encode_fromguid(value: guid) -> string", None, "A guid as base64.", python=encodings_python.base64_encode_fromguid)

# URLs

scalar("url_encode(url: string) -> string", None, "A text for a URL's query; a space becomes +.", python=encodings_python.url_encode)
scalar(
    "url_encode_component(url: string) -> string",
    None,
    "A text for a part of a URL; a space becomes %20.",
    python=encodings_python.url_encode_component,
)
scalar("url_decode(encoded: string) -> string", None, "The text that an encoded URL says.", python=encodings_python.url_decode)

# compression

_BYTES = "the compressed bytes of long texts may be others than Kusto's; decompressed, they are the same text"
for _format in ("gzip", "zlib"):
    scalar(
        f"{_format}_compress_to_base64_string(text: string) -> string",
        None,
        f"A text, compressed with {_format}, as base64.",
        python=getattr(encodings_python, f"{_format}_compress"),
        approximate=_BYTES,
    )
    scalar(
        f"{_format}_decompress_from_base64_string(encoded: string) -> string",
        None,
        f"The text that was compressed with {_format}; '' where there is none.",
        python=getattr(encodings_python, f"{_format}_decompress"),
    )

# characters

_TO_STRING = operator(
    "text_of_codepoints(codes: dynamic) -> string", "", "The text of code points.", python=encodings_python.text_of_codepoints
)


def _codepoints_to_string(*codes: Argument) -> str:
    return f"{_TO_STRING.python_name}(json_array({', '.join(each.sql for each in codes)})::VARCHAR)"


scalar(
    "unicode_codepoints_from_string(text: string) -> dynamic",
    None,
    "The code points of a text.",
    python=encodings_python.codepoints_of_text,
    aliases=("to_utf8",),
)
scalar(
    "unicode_codepoints_to_string(codes: int|long|dynamic...) -> string",
    _codepoints_to_string,
    "The text of code points, in numbers or arrays of them.",
    aliases=("make_string",),
)
scalar("isascii(text: string) -> bool", "(strlen({text}) = length({text}))", "Whether a text has characters of ASCII only.", nulls="never")
scalar("isutf8(text: string) -> bool", "true", "Whether a text is UTF-8, which every text is.", nulls="never")
for _name, _summary in (
    ("punycode_from_string", "A text in Punycode, without xn--."),
    ("punycode_to_string", "The text that Punycode, without xn--, says."),
    ("punycode_domain_from_string", "A domain with the parts that are in Punycode decoded."),
    ("punycode_domain_to_string", "A domain with the parts that need it in Punycode."),
):
    scalar(f"{_name}(text: string) -> string", None, _summary, python=getattr(encodings_python, _name))


def _hexadecimal(value: Argument, length: Argument | None) -> str:
    digits = f"lower(to_hex({value}))" if value.type == "long" else f"lower(to_hex({value}::BIGINT & 4294967295))"
    if length is None:
        return digits
    least = f"greatest(length({digits}), least(coalesce({length}, 0), 16))"
    return f"lpad({digits}, {least}::INTEGER, '0')"


scalar(
    "tohex(value: int|long, length: int|long?) -> string", _hexadecimal, "An integer in hexadecimal digits, at least so many.", nulls="some"
)
