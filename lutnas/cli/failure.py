"""How the command fails: `error:` and `hint:` on stderr, and an exit code that a script can read.

Errors:
    Failure (click.ClickException)   an error that a person can act on; `.hint` says how
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import IO, Any, NoReturn

import click

from lutnas.client import LutnasError, ProblemError, UnreachableError
from lutnas.client.errors import FieldError
from lutnas.settings import SettingsError, config_path

OWN_PACKAGES = ("lutnas", "workers", "api", "search", "latency")
SHOWN_ERRORS = 20
HINTS = {
    "unauthorized": "give the token with --token-file or LUTNAS_TOKEN; `lutnas serve` prints where its own lies",
    "token-expired": "`lutnas tokens create`, with another token, makes a new one",
    "token-revoked": "`lutnas tokens create`, with another token, makes a new one",
    "space-not-covered": (
        "time what is missing, with the job's choices (`lutnas profile --space SPACE --device DEVICE --precision ... "
        '--width ... --sparsity ... --upload`), and name the new table in the constraint: "table": "tbl_..."'
    ),
    "unreachable-budget": "raise the maximum: the error tells from where on it can be held",
}


class ExitCode(IntEnum):
    """What the exit code of `lutnas` says."""

    OK = 0
    ERROR = 1  # the request was refused, or the job failed
    USAGE = 2
    CANCELLED = 3  # the job was cancelled
    UNREACHABLE = 4  # the service could not be reached
    PAUSED = 5  # the job was paused, by a person or because it waited in vain
    INTERRUPTED = 130  # Ctrl-C, as shells have it
    TERMINATED = 143  # SIGTERM, likewise


class Failure(click.ClickException):
    """An error that a person can act on; `hint` says how."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code  # type: ignore[misc]  # click has it on the class, and means this

    def show(self, file: IO[Any] | None = None) -> None:
        """Writes the error and the hint to stderr."""
        click.echo(f"error: {self.message}", file=file, err=True)
        if self.hint:
            click.echo(f"hint: {self.hint}", file=file, err=True)


class RootGroup(click.Group):
    """The outermost group: makes failures of the client's errors, and the exit code of what a command returns."""

    def main(  # type: ignore[override]  # click's own has overloads that promise Never
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> NoReturn:
        """Runs the command and exits with its code."""
        more.pop("standalone_mode", None)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **more)
        except click.UsageError as error:
            _show_usage_error(error)
            raise SystemExit(ExitCode.USAGE) from None
        except click.ClickException as error:
            error.show()
            raise SystemExit(error.exit_code) from None
        except click.Abort:
            click.echo("interrupted", err=True)
            raise SystemExit(ExitCode.INTERRUPTED) from None
        raise SystemExit(code if isinstance(code, int) else ExitCode.OK)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Tells where this machine's config file is looked for."""
        try:
            told = str(config_path(os.environ))
        except SettingsError as error:  # help is for who has done something wrong
            told = str(error)
        with formatter.section("Config file"):
            formatter.write_text(told)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command's function."""
        try:
            return super().invoke(ctx)
        except UnreachableError as error:
            raise Failure(str(error), hint=error.hint, exit_code=ExitCode.UNREACHABLE) from error
        except ProblemError as error:
            raise Failure(describe(error), hint=HINTS.get(error.slug, "")) from error
        except LutnasError as error:
            raise Failure(str(error), hint=error.hint) from error
        except SettingsError as error:
            raise Failure(str(error), hint="`lutnas --help` tells where settings come from") from error
        except OSError as error:
            if error.errno == errno.EPIPE or error.strerror is None:  # who reads is gone, which click sees to; a defect
                raise
            raise Failure(f"{error.strerror}: {error.filename}" if error.filename else error.strerror) from error


def code_of(error: LutnasError) -> ExitCode:
    """What the command exits with for it."""
    return ExitCode.UNREACHABLE if isinstance(error, UnreachableError) else ExitCode.ERROR


def describe(problem: ProblemError) -> str:
    """A problem and its errors, each with the field and row it names, for people."""
    lines = [f"  {where(error)}" for error in problem.errors[:SHOWN_ERRORS]]
    if len(problem.errors) > SHOWN_ERRORS:
        lines.append(f"  and {len(problem.errors) - SHOWN_ERRORS} more")
    told = bool(problem.errors) and all(error.get("detail", "") in problem.detail for error in problem.errors)
    return "\n".join([problem.title if told else str(problem), *lines])


def where(error: FieldError) -> str:
    """One error with the row and field it names, e.g. `row 17, latency_us: -3 is negative`."""
    row, field = error.get("row"), error.get("field")
    place = ", ".join([*([f"row {row}"] if row is not None else []), *([field] if field else [])])
    detail = error.get("detail", "")
    return f"{place}: {detail}" if place else detail


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Around imports of packages that only the extra `name` brings; a missing one becomes a failure that says so."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in OWN_PACKAGES:
            raise
        hint = f"pip install 'lutnas[{name}]'"
        raise Failure(f"{purpose} needs {missing}, which is not installed", hint=hint) from error


def refuse(parameter: str, problem: str) -> NoReturn:
    """Ends the command because of a parameter's value: exit code 2."""
    raise click.BadParameter(problem, param_hint=parameter)


def _show_usage_error(error: click.UsageError) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    click.echo(f"error: {error.format_message()}", err=True)
    if error.ctx is not None:
        help_option: Sequence[str] = error.ctx.help_option_names
        click.echo(f"hint: see `{error.ctx.command_path} {max(help_option, key=len)}`", err=True)
