"""The tree of commands."""

import click

from lutnas.cli.agent import agent
from lutnas.cli.architectures import architectures
from lutnas.cli.audit import audit
from lutnas.cli.calibrate import calibrate
from lutnas.cli.collect import collect
from lutnas.cli.datasets import datasets
from lutnas.cli.demo import demo
from lutnas.cli.devices import devices
from lutnas.cli.failure import RootGroup
from lutnas.cli.jobs import jobs
from lutnas.cli.profile import profile
from lutnas.cli.serve import migrate, serve, worker
from lutnas.cli.spaces import spaces
from lutnas.cli.tables import tables
from lutnas.cli.tokens import tokens
from lutnas.cli.verify import verify
from lutnas.cli.version import version
from lutnas.cli.webhooks import webhooks

COMMANDS = [
    profile, calibrate, verify, agent, devices, tables, spaces, datasets, jobs, architectures, tokens, webhooks, audit,
    serve, worker, migrate, collect, demo, version,
]  # fmt: skip
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=RootGroup, context_settings=CONTEXT)
def cli() -> None:
    """Find the most accurate network that meets a latency budget on a named device, in one search.

    \b
    Address and token of the service, each from the first place that names it:
      flag           --url; --token or --token-file
      environment    LUTNAS_URL; LUTNAS_TOKEN or LUTNAS_TOKEN_FILE
      config file    url; token or token_file, in TOML:
                     LUTNAS_CONFIG, else lutnas/config.toml in the user's config folder
      local service  address and token in LUTNAS_HOME, as `lutnas serve` wrote them
      default        http://127.0.0.1:8000, and no token
    LUTNAS_TEAM, or team in the config file, names a team of the token to ask for.

    \b
    Data goes to stdout, with --json as JSON; talk, progress and errors go to stderr.
    Exit codes: 0 done; 1 refused, or the job failed; 2 wrong usage; 3 the job was cancelled;
    4 the service cannot be reached; 5 the job was paused; 130 interrupted;
    143 told to end, by SIGTERM.
    """


for command in COMMANDS:
    cli.add_command(command)
