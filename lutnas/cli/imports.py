"""`lutnas tables import`: public tables in layouts of their own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from latency.formats import write_csv
from latency.imports import LAYOUTS, LayoutError, Unit, read_layout
from latency.operator import Operator
from latency.table import FieldError, TableInfo
from lutnas.cli.failure import Failure, refuse
from lutnas.cli.newfile import is_stdout, write_whole
from lutnas.cli.options import existing_file, json_option, new_file
from lutnas.cli.output import Output, say
from lutnas.cli.spacefile import read_space


@click.command("import")
@click.argument("layout", type=click.Choice(sorted(LAYOUTS)))
@click.argument("file", type=existing_file)
@click.option("--device", required=True, metavar="NAME", help="The device that was measured.")
@click.option("--runtime", required=True, metavar="NAME", help="What ran the operators.")
@click.option("--unit", required=True, type=click.Choice(["us", "ms"]), help="Unit of the file: it does not say.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Threads of the runtime.")
@click.option("--batch", type=click.IntRange(1, 4096), default=1, show_default=True, help="Pictures of a call.")
@click.option("--space", metavar="NAME", help="Where values stand by position: a preset space, or a space's JSON file.")
@click.option("--note", default="", help="A line about where the file comes from, kept with the table.")
@click.option("--output", "to", required=True, type=new_file, metavar="FILE", help="Write the table to this CSV file.")
@json_option
def import_table(
    layout: str, file: Path, device: str, runtime: str, unit: Unit, threads: int, batch: int, space: str | None,
    note: str, to: Path, as_json: bool,
) -> None:  # fmt: skip
    """Turn a public table into one of ours, to be uploaded.

    \b
    apq                APQ's convolutions and bits; blocks are the sums of their three
    fbnet-positional   a list of layers, nine values each; wants --space
    hw-nas-bench       HW-NAS-Bench's FBNet, one device's mapping saved as JSON
    proxyless          ProxylessNAS and Once-for-all, YAML or JSON
    tf-nas             TF-NAS, saved as JSON: pickles run code and are not read

    One operator with several values gets their mean and spread. What has no place in a table is counted and left out.
    """
    layers = _layers(space) if space is not None else ()
    try:
        info = TableInfo(device=device, runtime=runtime, threads=threads, batch=batch, note=note)
        found = read_layout(layout, file.read_text(encoding="utf-8"), info, unit=unit, layers=layers)
    except UnicodeDecodeError:
        refuse("FILE", f"{file.name}: is no text; a pickle is not read, as it would run code: save it as JSON")
    except FieldError as error:
        refuse(f"--{error.field}", error.problem)
    except LayoutError as error:
        raise Failure(f"{file}: {error}") from error
    only_data = is_stdout(to)
    write_whole(to, "".join(write_csv(found.table.info, found.table.entries.items())))
    for why, count in found.left_out.items():
        say(f"left out {count}: {why}")
    say(f"wrote {len(found.table)} rows: `lutnas tables upload {to} --device {device}`")
    if only_data:
        return
    Output(as_json).document({"file": str(to), "rows": len(found.table), "left_out": found.left_out}, str(to))


def _layers(name: str) -> Sequence[Mapping[str, Operator]]:
    space = read_space(name)
    from search.choices import Choices  # now it is known that there is what it needs

    plain = space.offering(Choices())  # files know neither widths nor bits: one operator a candidate
    return [{choice.candidate.name: layer.operator(choice) for choice in layer.choices} for layer in plain.layers]
