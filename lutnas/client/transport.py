"""One door to the API: bearer token, retries of what may be asked twice, problems raised as errors."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import tenacity

from lutnas.client.address import is_this_machine
from lutnas.client.errors import ForeignAnswerError, ProblemError, UnreachableError, UnsendableError

ATTEMPTS = 4
PROVING_SECONDS = 120.0  # a budget's proof takes half a minute at most, and a derivation has two of them
READING_SECONDS = 600.0  # an upload is answered once the service has read and checked all of it
LONGEST_WAIT = 30.0  # seconds, between two tries of a client that never gives up
UNAVAILABLE = (502, 503, 504)  # what stands before the service could not reach it, or the service is starting
TOO_OFTEN = 429
HINT_UNREACHABLE = "start one with `lutnas serve`, or name another with --url or LUTNAS_URL"
HINT_ADDRESS = "is this the address of a lutnas service?"
HINT_BETWEEN = "a proxy before the service may have refused it: see what bodies it takes, and how long it waits"
OF_PROXIES = {408, 413, 502, 503, 504}
HINT_PROXY = "correct or unset HTTP_PROXY, HTTPS_PROXY and ALL_PROXY; SOCKS needs `pip install 'httpx[socks]'`"


class Transport:
    """Sends requests to one service. `sleep` waits between tries, longer and longer; tests give their own.

    With `attempts` None it tries until `sleep` raises, and takes the service's own word that it is unavailable as a
    broken way to it. `tell` hears why a try failed, and the seconds until the next.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout_seconds: float,
        sleep: Callable[[float], None],
        attempts: int | None = ATTEMPTS,
        team: str | None = None,
        tell: Callable[[str, float], None] | None = None,
    ) -> None:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        headers |= {"X-Lutnas-Team": team} if team else {}
        self.url = url.rstrip("/")
        self.sleep = sleep
        self._most = attempts
        self._tell = tell
        self.reading = httpx.Timeout(timeout_seconds, read=READING_SECONDS)
        self.proving = httpx.Timeout(timeout_seconds, read=max(timeout_seconds, PROVING_SECONDS))
        self._client = _client(self.url, headers, timeout_seconds)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def request(self, method: str, path: str, *, idempotent: bool | None = None, **arguments: Any) -> httpx.Response:
        """The answer to one request, read in full.

        A GET, and what is said to be `idempotent`, is tried again when the connection broke or a gateway says that
        the service is away. Anything may be tried again when the connection could not even be made.
        Raises ProblemError, UnreachableError, and UnsendableError for what HTTP or JSON cannot carry.
        """
        again = method == "GET" if idempotent is None else idempotent
        for attempt in self.attempts(again=again):
            with attempt, self._reach():
                response = self._client.send(self._built(method, path, arguments))
                _pass_gateway(response, patient=self._most is None)
        return checked(response)

    def _built(self, method: str, path: str, arguments: Mapping[str, Any]) -> httpx.Request:
        try:
            return self._client.build_request(method, path, **arguments)
        except (ValueError, httpx.InvalidURL) as error:  # numbers beyond JSON, text beyond UTF-8, headers beyond ASCII
            raise UnsendableError(f"{method} {path} cannot be sent: {error}") from error

    def json(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON document that answers a request."""
        response = self.request(method, path, **arguments)
        try:
            return response.json()
        except ValueError:
            raise self.foreign("an answer that is not JSON") from None

    def items(self, path: str, params: Mapping[str, Any] | None = None, *, place: str = "cursor") -> Iterator[Any]:
        """All items of a list, page by page; `place` is the parameter that says where a page begins."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        while True:
            page = self.json("GET", path, params=given)
            if not isinstance(page, dict) or "items" not in page:
                raise self.foreign("a list without items")
            yield from page["items"]
            if page.get("next_cursor") is None:
                return
            given[place] = page["next_cursor"]

    @contextmanager
    def stream(self, path: str, **arguments: Any) -> Iterator[httpx.Response]:
        """The answer to a GET whose body the caller reads bit by bit. Raises as `request`, and is not tried again:
        what was read cannot be unread here.
        """
        with self._reach(), self._client.stream("GET", path, **arguments) as response:
            if response.is_error:
                response.read()
                _pass_gateway(response, patient=self._most is None)
            yield checked(response)

    def foreign(self, what: str) -> ForeignAnswerError:
        """The error for an answer that no lutnas API gives."""
        return ForeignAnswerError(f"{self.url} gave {what}", hint="is this the address of a lutnas service?")

    def attempts(self, *, again: bool) -> tenacity.Retrying:
        """Tries of what raises UnreachableError: with `again` whenever the way to the service broke, else where it
        could not even be made.
        """
        broken: tuple[type[Exception], ...] = (httpx.ConnectError, httpx.ConnectTimeout)
        patient = self._most is None
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_cause_type((httpx.TransportError,) if again else broken),
            stop=tenacity.stop_never if self._most is None else tenacity.stop_after_attempt(self._most),
            wait=tenacity.wait_exponential(multiplier=0.1, max=LONGEST_WAIT if patient else 2)
            + tenacity.wait_random(0, 0.1),
            before_sleep=self._told,
            sleep=self.sleep,
            reraise=True,
        )

    def _told(self, tried: tenacity.RetryCallState) -> None:
        if self._tell is not None and tried.outcome is not None and tried.next_action is not None:
            self._tell(str(tried.outcome.exception()), tried.next_action.sleep)

    @contextmanager
    def _reach(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"cannot reach the service at {self.url}: {why}", hint=HINT_UNREACHABLE) from error
        except httpx.DecodingError as error:  # by what stands between
            raise self.foreign(f"an answer that cannot be unpacked ({error})") from error


def _client(url: str, headers: Mapping[str, str], timeout_seconds: float) -> httpx.Client:
    """What sends the requests: by the proxy of the environment, if any, but straight to this machine."""
    base = httpx.URL(url)
    # With a transport of its own httpx asks no proxy: one elsewhere reaches no service here, and would see its token.
    straight = httpx.HTTPTransport() if is_this_machine(url) else None
    try:
        return httpx.Client(base_url=base, headers=headers, timeout=timeout_seconds, transport=straight)
    except UnicodeEncodeError as error:
        raise UnsendableError("token and team go in headers, which have ASCII characters alone") from error
    except (ImportError, httpx.InvalidURL, ValueError) as error:  # no package for SOCKS, or no URL of a proxy
        detail = f"cannot reach the service at {url} by the proxy that the environment names: {error}"
        raise UnreachableError(detail, hint=HINT_PROXY) from error


def checked(response: httpx.Response) -> httpx.Response:
    """The answer if it is a success; raises ProblemError, or ForeignAnswerError for a refusal that is no problem."""
    if response.is_success:
        return response
    problem = _problem(response)
    if problem is None:
        url = response.request.url
        detail = f"{url} answered {response.status_code} {response.reason_phrase} without a problem document"
        raise ForeignAnswerError(detail, hint=HINT_BETWEEN if response.status_code in OF_PROXIES else HINT_ADDRESS)
    raise ProblemError(problem)


def _pass_gateway(response: httpx.Response, *, patient: bool = False) -> None:
    """Makes an answer that is not the service's own, but tells that it is away, what it is: a broken way to it.

    For who is `patient` the service's own is the same: its database is away, or it has been asked too often.
    """
    later = (*UNAVAILABLE, TOO_OFTEN) if patient else UNAVAILABLE
    if response.status_code in later and (patient or _problem(response) is None):
        raise httpx.RemoteProtocolError(f"a gateway answered {response.status_code}")


def _problem(response: httpx.Response) -> dict[str, Any] | None:
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        document = response.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
