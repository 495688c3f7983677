"""Labels as options take them."""

from typing import NamedTuple

import click

SHAPE = "NAME=VALUE"


class Label(NamedTuple):
    """A label of a device or a job."""

    name: str
    value: str


class _LabelType(click.ParamType[Label]):
    """`team=cam`."""

    name = "label"

    def convert(self, value: str | Label, param: click.Parameter | None, ctx: click.Context | None) -> Label:
        """Ends the command where a text is not written so."""
        if isinstance(value, Label):
            return value
        name, equals, text = value.partition("=")
        if not (name and equals):
            self.fail(f"{value!r} is not written {SHAPE}", param, ctx)
        return Label(name, text)


LABEL = _LabelType()
