"""`lutnas jobs derive`."""

from typing import Any

import click
from rich.console import Group
from rich.text import Text

from lutnas.cli import output as out
from lutnas.cli.failure import refuse
from lutnas.cli.options import connected
from lutnas.cli.output import Output
from lutnas.cli.totals import total
from lutnas.client import Client
from lutnas.client.documents import Derivation

positive = click.FloatRange(min=0, min_open=True)


@click.command("derive")
@click.argument("job")
@click.option("--device", metavar="NAME", help="Device whose table tells latency and energy.")
@click.option("--table", metavar="ID", help="Its table, where it has more than one.")
@click.option("--max-us", type=positive, metavar="N", help="Greatest predicted latency, microseconds.")
@click.option("--max-uj", type=positive, metavar="N", help="Greatest predicted energy of a call, microjoules.")
@click.option("--max-bytes", type=positive, metavar="N", help="Greatest size of the weights.")
@click.option("--max-memory-bytes", type=positive, metavar="N", help="Greatest memory of activations at once.")
@click.option("--max-macs", type=positive, metavar="N", help="Most multiply-adds of a picture.")
@click.option("--count", type=click.IntRange(1, 16), metavar="K", help="How many architectures.  [default: 1]")
@click.option(
    "--front", is_flag=True, help="The best at every stage up to the first of the maxima, in the order above."
)
@connected
def derive_job(
    client: Client,
    output: Output,
    job: str,
    device: str | None,
    table: str | None,
    max_us: float | None,
    max_uj: float | None,
    max_bytes: float | None,
    max_memory_bytes: float | None,
    max_macs: float | None,
    count: int | None,
    front: bool,
) -> None:
    """Derive architectures for other constraints from a search that has succeeded.

    Nothing is trained: the answer comes from what the search learnt, in a second, also for a device that the search
    never knew. `worth` compares architectures of one job with each other.
    """
    if front and count is not None:
        refuse("--count", "--front decides itself how many there are: drop --count")
    on_device = {"device": device, **({} if table is None else {"table": table})}
    asked: list[tuple[str, dict[str, Any], float | None]] = [
        ("latency", {"max_us": max_us, **on_device}, max_us),
        ("energy", {"max_uj": max_uj, **on_device}, max_uj),
        ("size", {"max_bytes": max_bytes}, max_bytes),
        ("memory", {"max_bytes": max_memory_bytes}, max_memory_bytes),
        ("macs", {"max": max_macs}, max_macs),
    ]
    constraints = [{"metric": metric, **more} for metric, more, maximum in asked if maximum is not None]
    if not constraints:
        refuse("--max-us", "name a maximum: --max-us, --max-uj, --max-bytes, --max-memory-bytes or --max-macs")
    if device is None and (max_us is not None or max_uj is not None):
        refuse("--device", "latency and energy are those of a device: name it")
    if max_us is None and max_uj is None and (device is not None or table is not None):
        named = "--table" if device is None else "--device"
        refuse(named, "no maximum of it is asked for: give --max-us or --max-uj, or leave it away")
    answer = client.derive(job, constraints, count=count or 1, front=front)
    output.document(answer, _shown(answer))


def _shown(answer: Derivation) -> Group:
    found = answer["architectures"]
    names = [row["name"] for row in found[0]["predicted"]]
    rows = [
        [
            f"{one['worth']:.3f}",
            *map(total, one["predicted"]),
            " ".join(name.replace(" ", ",") for name in one["candidates"]),
        ]
        for one in found
    ]
    correlation = answer["rank_correlation"]
    trust = "" if correlation is None else f", rank correlation {correlation:.2f} on those held out"
    rests = Text(f"worth rests on {answer['samples']} sub-networks{trust}")
    return Group(out.table(["worth", *names, "layers"], rows, right=["worth", *names]), rests)
