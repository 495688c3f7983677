"""Pages about documents that people write, made from their JSON schemas: a section a document, a row a field."""

import json
from collections.abc import Iterator
from typing import Any

_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
_REFERENCE = "#/$defs/"

Schema = dict[str, Any]


def sections(title: str, schema: Schema) -> str:
    """The document under `title`, then those that its fields hold, each before those below it, as Markdown."""
    return _section(title, schema) + "".join(_below("", schema, schema.get("$defs", {})))


def _below(path: str, document: Schema, parts: dict[str, Schema]) -> Iterator[str]:
    for field, value in document["properties"].items():
        for name in _referred(value):
            part = parts[name]
            metric = part["properties"].get("metric")
            yield _section(f"`{path}{field}`" + (f", {metric['const']}" if metric else ""), part)
            yield from _below(f"{path}{field}.", part, parts)


def _referred(value: Any) -> Iterator[str]:
    """Names of the documents that a field's schema refers to."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].removeprefix(_REFERENCE)
        value = [inner for key, inner in value.items() if key != "discriminator"]
    for inner in value if isinstance(value, list) else ():
        yield from _referred(inner)


def _section(heading: str, document: Schema) -> str:
    fields, required = document["properties"].items(), document.get("required", ())
    rows = (f"| `{name}` | {_value(value)} | {_default(value, name in required)} |\n" for name, value in fields)
    table = "| field | value | default |\n| --- | --- | --- |\n" + "".join(rows)
    return f"\n## {heading}\n\n{document['description']}\n\n{table}"


def _default(value: Schema, is_required: bool) -> str:
    default = value.get("default")
    if default is None or isinstance(default, dict):
        return "has to be given" if is_required else ""
    return f"`{json.dumps(default)}`"


def _value(value: Schema) -> str:
    """What a field takes, in words."""
    if "enum" in value or "const" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    if "anyOf" in value:
        return " or ".join(map(_value, value["anyOf"]))
    match value.get("type"):
        case "array":
            return f"list of: {_value(value['items'])}"
        case "integer" | "number" as kind:
            bounds = [f"{word} {value[bound]:,}" for bound, word in _BOUNDS.items() if bound in value]
            return " ".join(["whole number" if kind == "integer" else "number", *bounds])
        case "string":
            return f"`{value['pattern'].replace('|', chr(92) + '|')}`" if "pattern" in value else "text"
        case "boolean":
            return "`true`, `false`"
        case None:
            return "see below"
        case kind:
            return str(kind)
