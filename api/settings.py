"""Settings of the service, read from the environment: LUTNAS_DATABASE_URL and the like."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_data_dir
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.artifacts.place import place_of
from api.telemetry.logs import Format, Level


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _folder_or_bucket(given: Path | str) -> Path | str:
    found = place_of(given)
    return found if isinstance(found, Path) else str(given)


MOST_DAYS = 700_000  # back from now: the calendar begins with the year 1
Folder = Annotated[Path, AfterValidator(_absolute)]
FolderOrBucket = Annotated[Path | str, BeforeValidator(_folder_or_bucket)]


def _in_home(*parts: str) -> Any:
    """Default: a place under `home`, which is read before."""
    return lambda given: given["home"].joinpath(*parts) if "home" in given else Path()


def _sqlite_in_home(given: dict[str, Any]) -> str:
    return f"sqlite:///{given['home'] / 'lutnas.db'}" if "home" in given else ""


class Settings(BaseSettings):
    """What an operator may set. Each field is an environment variable with the prefix LUTNAS_."""

    # Errors do not show their input, nor does repr the URLs: secrets and passwords are among them.
    model_config = SettingsConfigDict(
        env_prefix="LUTNAS_", frozen=True, validate_default=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    home: Folder = Field(
        default_factory=lambda: Path(user_data_dir("lutnas")),
        description="Folder for all that the service keeps. Default: lutnas in the user's data folder.",
    )
    database_url: str = Field(
        default_factory=_sqlite_in_home,
        repr=False,
        description="SQLAlchemy URL of a SQLite file or a Postgres. Default: lutnas.db in the home.",
    )
    broker_url: str = Field(
        "filesystem://",
        repr=False,
        description="Celery broker: filesystem:// (folders in the home) or redis://.",
    )
    artifacts: FolderOrBucket = Field(
        default_factory=_in_home("artifacts"),
        description="Where weights, models and data sets lie, shared by all: a folder, or "
        "s3://bucket/prefix?endpoint_url=https://host (extra s3). Default: artifacts in the home.",
    )
    data_dir: Folder = Field(
        default_factory=_in_home("data"), description="Cache of the built-in data sets. Default: data in the home."
    )
    fashion_mnist: str | None = Field(None, description="Folder or URL to take Fashion-MNIST from.")
    token: SecretStr | None = Field(
        None,
        description="The access token that may do everything, given by the operator. Else one is made. One that is "
        "given no more is good for nothing; one that was made before stays good: revoke it.",
    )
    token_file: Folder | None = Field(None, description="File that holds the access token, such as a mounted secret.")
    threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="Threads of a job's training, fixed by the API at submission; on a worker it changes nothing. "
        "Default: the cores of the API's machine.",
    )
    lease_seconds: Annotated[float, Field(gt=0)] = Field(
        60.0, description="A job whose worker, or a request whose agent, is silent this long goes on elsewhere."
    )
    sweep_seconds: Annotated[float, Field(gt=0)] = Field(5.0, description="Time between two looks for lost jobs.")
    requeue_seconds: Annotated[float, Field(gt=0)] = Field(
        30.0, description="A queued job that nobody took is announced again after this time, then less and less often."
    )
    checkpoint_seconds: Annotated[float, Field(gt=0)] = Field(
        20.0, description="Time between two checkpoints of a search."
    )
    max_attempts: Annotated[int, Field(ge=1)] = Field(
        3,
        description="A job fails when this many workers in a row were lost without a new checkpoint; a request to a "
        "device when this many agents were lost. A network that took this many is left to the job's own worker.",
    )
    max_table_rows: Annotated[int, Field(ge=1)] = Field(1_000_000, description="Rows a table may have.")
    max_upload_bytes: Annotated[int, Field(ge=1)] = Field(
        2**30, description="Bytes a table or data set may have as it is sent."
    )
    max_unpacked_bytes: Annotated[int, Field(ge=1)] = Field(
        2**32, description="Bytes an upload may have once unpacked."
    )
    max_open_jobs: Annotated[int, Field(ge=1)] = Field(
        1000, description="Jobs an owner may have that are not at their end."
    )
    max_stored_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Bytes an owner may keep in the store; above it no data set and no job is taken."
    )
    collect_seconds: Annotated[float, Field(gt=0)] = Field(
        3600.0, description="Time between two rounds that remove what has been kept long enough."
    )
    keep_checkpoints_days: Annotated[float, Field(ge=0, le=MOST_DAYS, allow_inf_nan=False)] = Field(
        1.0, description="Days that the checkpoint of a cancelled job stays. Other jobs leave none."
    )
    keep_distributions_days: Annotated[float, Field(ge=0, le=MOST_DAYS, allow_inf_nan=False)] = Field(
        90.0, description="Days that the distributions over choices, as events, stay of a job that has ended."
    )
    keep_events_days: Annotated[float, Field(ge=0, le=MOST_DAYS, allow_inf_nan=False)] = Field(
        90.0, description="Days that other events stay of a job that has ended. Changes of state stay for ever."
    )
    keep_unnamed_seconds: Annotated[float, Field(gt=0, le=MOST_DAYS * 86_400, allow_inf_nan=False)] = Field(
        3600.0, description="Seconds that a file of the store stays that no row names, or not yet."
    )
    webhook_private: bool = Field(
        False, description="Whether webhooks may go to private and loopback addresses, for networks of one's own."
    )
    webhook_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        8, description="How often a message is sent to a webhook that does not take it."
    )
    webhook_retry_seconds: Annotated[float, Field(gt=0)] = Field(
        10.0, description="Time until a message is sent again; each pause is four times the one before, up to 12 hours."
    )
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        10.0, description="Time that a webhook has to answer."
    )
    requests_per_minute: Annotated[int, Field(ge=1)] = Field(
        6000, description="Requests that an owner's tokens together may send to one process of the API in a minute."
    )
    known_token_seconds: Annotated[float, Field(ge=0, le=60)] = Field(
        2.0, description="A token that was revoked by another process of the API is refused after this time."
    )
    hsts_seconds: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Time that browsers must come by HTTPS alone (HSTS), where TLS stands before the API."
    )

    log_format: Format = Field("text", description="How a line of the log looks: text, or json for machines.")
    log_level: Level = Field("info", description="How much is logged: debug, info, warning or error.")
    metrics_open: bool = Field(False, description="Whether GET /metrics is for anybody, instead of for `admin` tokens.")
    worker_metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="Port by which a worker tells its metrics to whoever asks. Default: none."
    )
    worker_niceness: Annotated[int, Field(ge=0, le=19)] = Field(
        5, description="How far a training gives way to other processes of its machine, such as the API: see nice(1)."
    )
    max_event_streams: Annotated[int, Field(ge=1)] = Field(
        500, description="Streams of events that one process of the API serves at once; each keeps a file open."
    )
    worker_metrics_host: str = Field("127.0.0.1", description="Address that a worker's metrics are told at.")

    @model_validator(mode="after")
    def _one_token(self) -> "Settings":
        if self.token is not None and self.token_file is not None:
            raise ValueError("LUTNAS_TOKEN and LUTNAS_TOKEN_FILE are both set: keep one")
        return self

    @cached_property
    def operator_token(self) -> str | None:
        """The token that the operator gave, by value or by file; None where lutnas makes one.

        Raises OSError, ValueError.
        """
        if self.token is not None:
            given, source = self.token.get_secret_value().strip(), "LUTNAS_TOKEN"
        elif self.token_file is not None:
            given, source = self.token_file.read_text(encoding="utf-8").strip(), str(self.token_file)
        else:
            return None
        if len(given) < 16 or not given.isascii() or not given.isprintable() or " " in given:
            raise ValueError(f"{source}: a token has at least 16 ASCII characters and no blanks")
        return given
