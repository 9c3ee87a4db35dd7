"""Hashes: hash() and hash_xxhash64(), hash_md5(), hash_sha1(), hash_sha256(), and new_guid().

MD5, SHA-1 and SHA-256 are of the text of a value, as tostring() writes it; XXH64 is of its bytes.
Source: https://learn.microsoft.com/kusto/query/hash-function, .../hash-md5-function.
"""

from __future__ import annotations

from forebay.telemetry.kql.functions import hashes_python as python
from forebay.telemetry.kql.functions.registry import REFUSED, scalar
from forebay.telemetry.kql.functions.text_values import text_of

_BUCKETS = "with a modulus, where the hash has its highest bit set: Kusto does not say how that remainder is taken"
_BYTES = "Kusto does not say which bytes of this type are hashed; equal values have equal hashes"

for _type, _python, _approximate in (
    ("string", python.hash_text, _BUCKETS),
    ("datetime", python.hash_datetime, _BUCKETS),
    ("long", python.hash_integer, _BYTES),
    ("timespan", python.hash_integer, _BYTES),
    ("bool", python.hash_integer, _BYTES),
    ("guid", python.hash_text, _BYTES),
    ("real", python.hash_real, _BYTES),
):
    scalar(
        f"hash(source: {_type}, mod: long?) -> long",
        None,
        "A hash (XXH64) of a value, or what remains of it after division.",
        aliases=("hash_xxhash64",),
        approximate=_approximate,
        python=_python,
    )


def _declare_digest(name: str, function: str, title: str) -> None:
    scalar(
        f"{name}(source: string|bool|int|long|real|decimal|datetime|timespan|guid) -> string",
        lambda source: f"{function}({text_of(source)})",
        f"The {title} of the text of a value, in hexadecimal digits.",
        nulls="never",
    )


_declare_digest("hash_md5", "md5", "MD5")
_declare_digest("hash_sha1", "sha1", "SHA-1")
_declare_digest("hash_sha256", "sha256", "SHA-256")

scalar("new_guid() -> guid", "uuid()", "A random GUID.", nulls="never")

_COMBINED = "how Kusto combines hashes is not published; write hash(strcat(a, '|', b))"
REFUSED["hash_combine"] = _COMBINED
REFUSED["hash_many"] = _COMBINED
