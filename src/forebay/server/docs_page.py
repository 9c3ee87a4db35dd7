"""One page of HTML from an OpenAPI description: no scripts, nothing from other hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733; background: #fff }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dde5; text-transform: capitalize }
code, pre { font: 14px/1.45 ui-monospace, monospace } pre { background: #f3f6f9; padding: .8rem; overflow-x: auto }
details { border: 1px solid #d5dde5; border-radius: 6px; margin: .5rem 0; padding: .3rem .8rem } summary { cursor: pointer }
.method { display: inline-block; min-width: 4.2rem; font-weight: 700; color: #0b5cad } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #eaeff3 }
@media (prefers-color-scheme: dark) {
  body { color: #dbe4ec; background: #12181f } pre { background: #1b242e } .method { color: #6fb3f2 }
  h2, details, td, th { border-color: #2c3947 } a { color: #6fb3f2 }
}
"""
_METHODS = ("get", "head", "post", "put", "delete")


def docs_page(description: dict[str, Any]) -> str:
    """The page. Everything from the description is escaped."""
    info = description["info"]
    sections = "".join(_sections(description))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{_prose(info.get('description', ''))}</p>"
        "<p>Send the key of <code>admin.key</code> as <code>X-API-Key: KEY</code> or <code>Authorization: Bearer KEY</code>. "
        'For programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f"<pre>{escape(_EXAMPLE)}</pre>{sections}</body></html>"
    )


_EXAMPLE = """\
KEY=$(cat forebay-data/admin.key)
curl -H "X-API-Key: $KEY" --data-binary @notes.md 'http://127.0.0.1:8000/documents?name=notes.md'
curl -H "X-API-Key: $KEY" --json '{"query": "what did I note?"}' http://127.0.0.1:8000/search"""


def _sections(description: dict[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, operations in description["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                by_tag.setdefault(operation["tags"][0], []).append(_operation(description, path, method, operation))
    for tag, operations in by_tag.items():
        yield f'<h2 id="{escape(tag)}">{escape(tag)}</h2>' + "".join(operations)


def _operation(description: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{_prose(operation.get('description', ''))}</p>"]
    scopes: list[str] = next(iter(operation.get("security", [{}])[0].values()), [])
    if scopes:
        parts.append(f"<p>Needs a key with scope <code>{escape(scopes[0])}</code>{' or <code>admin</code>' * (scopes != ['admin'])}.</p>")
    parameters = operation.get("parameters", [])
    if parameters:
        rows = "".join(
            f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}{', required' if each.get('required') else ''}</td>"
            f"<td>{_prose(each.get('description', ''))}{_default(each['schema'])}</td></tr>"
            for each in parameters
        )
        parts.append(f"<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>{rows}</table>")
    if "requestBody" in operation:
        parts.append(f"<p>Body: {_prose(operation['requestBody'].get('description', 'JSON'))}</p>")
        examples = [media["example"] for media in operation["requestBody"]["content"].values() if "example" in media]
        parts += [f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>" for example in examples]
    for status, response in operation["responses"].items():
        parts.append(f"<p><strong>{escape(status)}</strong> {_prose(response['description'])}</p>")
        schema: dict[str, Any] = next((media.get("schema", {}) for media in response.get("content", {}).values()), {})
        if status.startswith("2") and "$ref" in schema:
            parts.append(f"<pre>{escape(json.dumps(_outline(description, schema), indent=2))}</pre>")
    title = f'<span class="method">{method.upper()}</span> <code>{escape(path)}</code> {escape(operation.get("summary", ""))}'
    return f"<details><summary>{title}</summary>{''.join(parts)}</details>"


def _outline(description: dict[str, Any], schema: dict[str, Any]) -> Any:
    """An answer with the names of types in the places of values."""
    if "$ref" in schema:
        return _outline(description, description["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        shapes = [_outline(description, each) for each in schema["anyOf"]]
        return " or ".join(shapes) if all(isinstance(shape, str) for shape in shapes) else shapes[0]
    if "enum" in schema:
        return "|".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return [_outline(description, each) for each in items]
    if "properties" in schema:
        return {name: _outline(description, each) for name, each in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        return {"...": _outline(description, schema["additionalProperties"])}
    return str(schema.get("const") or schema.get("type", "any"))


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return f" [{escape(str(default))}]" if default not in (None, "") else ""


def _prose(text: str) -> str:
    """Text with `code` in it."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text)).replace("\n\n", "<br><br>")
