"""The app: `api.app:app` with settings from the environment, or `create_app(settings)`.

It begins with its lifespan: importing it opens nothing, and loads no torch.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import metadata
from types import FrameType

from fastapi import FastAPI

from api import health, problems
from api.architectures.routes import router as architectures
from api.artifacts.routes import router as artifacts
from api.artifacts.store import ArtifactStore
from api.audit.routes import router as audit
from api.audit.trail import Trails, witness
from api.auth.documented import document_access
from api.auth.known import KnownCallers
from api.auth.rates import Rates
from api.auth.routes import router as tokens
from api.auth.uses import Uses
from api.bell import Bell
from api.datasets.routes import router as datasets
from api.db import models as _models  # all tables, so that relations between rooms are known
from api.db.session import Database
from api.dependencies import Service
from api.devices.routes import router as devices
from api.envelope import Envelope
from api.jobs.routes import router as jobs
from api.jobs.sweeper import Sweeper
from api.jobs.tailer import Tailer
from api.limits import BodyLimit
from api.measurements.routes import router as measurements
from api.measurements.schemas import NewMeasurements
from api.requests.routes import router as requests
from api.settings import Settings
from api.spaces.routes import router as spaces
from api.tables.routes import router as tables
from api.telemetry import traces
from api.telemetry.routes import router as telemetry
from api.telemetry.watch import PROBES, Watch
from api.webhooks.postman import Postman
from api.webhooks.routes import router as webhooks
from search.space import Space

__all__ = ["app", "create_app"]
assert _models.Base.metadata.tables


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API. Without `settings` they are read from the environment when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        given = settings or Settings()
        async with _running(given) as service:
            app.state.service = service
            yield

    app = FastAPI(
        title="lutnas",
        version=metadata.version("lutnas"),
        description="Finds the most accurate network that meets a latency budget on a named device.",
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        responses=problems.RESPONSES,
        # Spans of requests only, and only where `traces` began: metrics and logs are ours.
        telemetry={
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "exclude": lambda scope: scope["path"] in PROBES,
        },
    )
    for middleware in (BodyLimit, Trails, Watch, Envelope):  # the last one is the outermost
        app.add_middleware(middleware)
    problems.install(app)
    for router in (
        jobs,  # first, as most requests are for them: each route in front would be tried
        health.router,
        telemetry,
        tokens,
        devices,
        tables,
        measurements,
        requests,
        spaces,
        datasets,
        architectures,
        artifacts,
        audit,
        webhooks,
    ):
        app.include_router(router)
    document_access(app, bodies=(Space, NewMeasurements))
    return app


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[Service]:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    traces.begin("lutnas-api")
    store = ArtifactStore(settings.artifacts)
    store.prepare()
    database, bell = Database(settings.database_url, witness=witness), Bell(settings)
    tailer, sweeper = Tailer(database), Sweeper(database, settings, bell.ring, is_silent=bell.is_silent)
    postman = Postman(database, settings)
    sweeper.start()
    postman.start()
    try:
        with _told_of_end(tailer.close):
            yield Service(
                settings,
                database,
                store,
                bell,
                tailer,
                rates=Rates(settings.requests_per_minute),
                uses=Uses(database),
                known=KnownCallers(settings.known_token_seconds),
            )
    finally:
        await tailer.wait_closed()
        await asyncio.to_thread(sweeper.stop)
        await asyncio.to_thread(postman.stop)
        bell.close()
        traces.flush()
        database.close()


@contextmanager
def _told_of_end(call: Callable[[], None]) -> Iterator[None]:
    """Calls `call` when the process is asked to end. The server waits for open streams before it ends the lifespan, and
    streams of events are open until somebody tells them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # under a test client: nobody sends signals
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def told(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    chained = [number for number, handler in before.items() if callable(handler)]
    for number in chained:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number in chained:
            signal.signal(number, before[number])


app = create_app()
