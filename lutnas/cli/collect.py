"""`lutnas collect`."""

from contextlib import closing
from dataclasses import asdict

import click

from lutnas.cli.failure import Failure, extra
from lutnas.cli.options import json_option
from lutnas.cli.output import Output
from lutnas.cli.serve import load_settings, without_password


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@json_option
def collect(dry_run: bool, as_json: bool) -> None:
    """Remove what has been kept long enough, as `lutnas serve` does by itself, and tell what.

    Of jobs that have ended: checkpoints, events but for changes of state; messages to webhooks that are at their end;
    and files of the store that nothing names.
    Settings say how long (LUTNAS_KEEP_...). It needs the database and the artifacts, not a running service.
    """
    settings = load_settings()
    with extra("server", "this command"):
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        from api.artifacts.store import ArtifactStore, StoreError
        from api.db import models  # all tables, so that relations between rooms are known
        from api.db.migrate import is_current
        from api.db.session import Database
        from api.jobs import retention
    assert models.Base.metadata.tables
    try:
        with closing(Database(settings.database_url)) as database:
            with database.read() as session:
                if not is_current(session.connection()):
                    told = f"cannot use the database {without_password(settings.database_url)}"
                    raise Failure(
                        f"{told}: it is of another version of lutnas, or has no tables yet",
                        hint="`lutnas migrate` brings an older one up; a newer one wants the lutnas that made it",
                    )
            found = retention.collect(database, ArtifactStore(settings.artifacts), settings, dry_run=dry_run)
    except (ArgumentError, ValueError) as error:
        raise Failure(str(error), hint="LUTNAS_DATABASE_URL names the database") from error
    except StoreError as error:
        raise Failure(str(error), hint="LUTNAS_ARTIFACTS names the store") from error
    except SQLAlchemyError as error:
        told = f"cannot use the database {without_password(settings.database_url)}: {getattr(error, 'orig', error)}"
        raise Failure(told, hint="LUTNAS_DATABASE_URL names it, and `lutnas migrate` makes its tables") from error
    Output(as_json).document({"dry_run": dry_run, **asdict(found)})
