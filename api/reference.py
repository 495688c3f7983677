"""The page about the settings, made from the settings: python -m api.reference > docs/reference/settings.md"""

from pydantic_core import PydanticUndefined

from api.settings import Settings

_HEAD = """# Settings of the service

`lutnas serve`, `lutnas worker`, `lutnas migrate` and `lutnas collect` read these from the environment. All have a
default. API and workers of one service need the same database, broker, artifacts and lease times.

| variable | default | what it is |
| --- | --- | --- |
"""


def reference() -> str:
    """The page as Markdown."""
    return _HEAD + "".join(_row(name) for name in Settings.model_fields)


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    default = "" if field.default in (PydanticUndefined, None) else f"`{field.default}`"
    return f"| `LUTNAS_{name.upper()}` | {default} | {field.description} |\n"


if __name__ == "__main__":
    print(reference(), end="")
