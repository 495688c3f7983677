"""The thread that takes messages to webhooks: one in each API process.

It is not the sweeper's thread: a receiver that does not answer must not hold up the leases of jobs. Nor is it elected:
the claim on each message keeps two processes apart.
"""

import asyncio
import logging
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from api.db.session import Database
from api.settings import Settings
from api.telemetry.metrics import DELIVERIES
from api.webhooks.models import PENDING
from api.webhooks.rounds import Letter, is_due, record, take
from api.webhooks.sending import send
from api.webhooks.signing import signed_headers

AT_ONCE, TO_ONE = 20, 4  # messages in all, and of one webhook: a round takes as long as the slowest receiver
MARGIN_SECONDS = 60.0  # that a claim is good for beyond the time-out, to write how it ended
USER_AGENT = "lutnas-webhooks/1"
_logger = logging.getLogger(__name__)


def new_client(tls: ssl.SSLContext) -> httpx.AsyncClient:
    """For one round of messages: connections are not kept. The environment's proxies are not asked, as they would reach
    what must not be reached, and cookies are not kept: receivers of several owners may share an address.
    """
    none = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.AsyncClient(verify=tls, trust_env=False, timeout=None, cookies=none)


class Postman:
    """Looks every `sweep_seconds` for messages that are due, and sends them some at a time."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._tls = httpx.create_ssl_context()
        self._stopping = threading.Event()
        self._notes = ThreadPoolExecutor(1, "webhook-notes")
        self._thread = threading.Thread(target=self._run, name="postman", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the messages that are on their way."""
        self._stopping.set()
        self._thread.join()
        self._notes.shutdown()

    def round(self) -> int:
        """Sends all that is due now; gives how many messages that were."""
        count = 0
        while not self._stopping.is_set():
            with self._database.read() as session:
                if not is_due(session):
                    break
            claim_seconds = self._settings.webhook_timeout_seconds + MARGIN_SECONDS
            with self._database.write() as session:
                letters = take(session, claim_seconds=claim_seconds, most=AT_ONCE, to_one=TO_ONE)
            if not letters:
                break  # another process was faster
            count += len(letters)
            asyncio.run(self._send_all(letters))
        return count

    async def _send_all(self, letters: list[Letter]) -> None:
        async with new_client(self._tls) as client:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(AT_ONCE, "webhook-names"))
            ended = await asyncio.gather(*(self._deliver(client, letter) for letter in letters), return_exceptions=True)
        for one in ended:  # the others are not held up by it: it is sent again once its claim is over
            if isinstance(one, BaseException):
                _logger.warning("how a message to a webhook ended is not kept", exc_info=one)

    async def _deliver(self, client: httpx.AsyncClient, letter: Letter) -> None:
        headers = signed_headers(letter.secret, letter.delivery_id, letter.body, seconds=letter.seconds)
        outcome = await send(
            client, letter.url, letter.body, {**headers, "User-Agent": USER_AGENT},
            timeout_seconds=self._settings.webhook_timeout_seconds, private=self._settings.webhook_private,
        )  # fmt: skip

        def note() -> str | None:
            with self._database.write() as session:
                given = self._settings
                return record(
                    session, letter, outcome, attempts=given.webhook_attempts, retry_seconds=given.webhook_retry_seconds
                )

        # Not where names are looked up: a name server that is silent would hold up what has been sent.
        state = await asyncio.get_running_loop().run_in_executor(self._notes, note)
        DELIVERIES.labels(outcome="retry" if state == PENDING else state or "claim-lost").inc()
        if not outcome.is_taken:
            _logger.warning("webhook message %s was not taken: %s", letter.delivery_id, outcome.error)

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.sweep_seconds):
            try:
                self.round()
            except Exception:  # nothing, and least of all a database that is away, must end the sending for all
                _logger.warning("messages to webhooks were left: they are tried again", exc_info=True)
