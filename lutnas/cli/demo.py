"""`lutnas demo`."""

from pathlib import Path

import click

from lutnas.cli.options import existing_file, new_file


@click.command()
@click.option(
    "--json",
    "report",
    type=new_file,
    metavar="FILE",
    help="Write the result to FILE as JSON, stop everything and exit.",
)
@click.option(
    "--table", type=existing_file, metavar="FILE", help="Take this latency table (CSV) instead of timing this machine."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the search.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the API  [default: 8000, or a free one]"
)
def demo(report: Path | None, table: Path | None, seed: int, port: int) -> int:
    """Do the whole job once: profile this machine, search a network for it, train it and measure it.

    Starts an API and a worker, on the database and broker that LUTNAS_DATABASE_URL and LUTNAS_BROKER_URL name or on
    files of its own. The budget is 0.6 of the predicted latency of the largest network. Then the API stays until
    Ctrl-C. All that the demo leaves lies in LUTNAS_HOME/demo.
    """
    from lutnas.demo import run

    return run(report=report, table_file=table, seed=seed, port=port)
