"""The work of an agent: claim, answer, tell; then the next one. Whatever goes wrong with a request ends with it."""

from collections.abc import Callable
from dataclasses import dataclass

from lutnas.agent.heart import TAKEN, Cancelled, Heart, Lost
from lutnas.agent.stop import Stop, Stopped
from lutnas.client import Client, LutnasError, ProblemError
from lutnas.client.documents import Claim, DeviceRequest, Document

MOST_DETAIL = 4000  # characters that the service keeps of a failure
LONGEST_WAIT = 60.0
BACK = "given back"

Watch = Callable[[int, int, float], None]
"""Hears (done, total, seconds_left) of the work now and then; what it raises ends the work."""
Answer = Callable[[DeviceRequest, Watch], Document]
"""Does what a request asks, sends what comes of it to the service, and gives what names it there. Raises anything."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The agent `name` of `device`. `name` is of one process.

    `patient` is a client that goes through outages until `stop` is asked for, `quick` one that gives up soon. `explain`
    makes the text of what an answer raised, `say` talks to people, `show` gets each request as it is claimed and ended.
    """

    device: str
    name: str
    patient: Client
    quick: Client
    stop: Stop
    answer: Answer
    explain: Callable[[Exception], str]
    say: Callable[[str], None]
    show: Callable[[DeviceRequest], None]

    def run(self, *, once: bool, poll_seconds: float) -> str | None:
        """Answers requests until `stop` is asked for, or `once`; gives then how the request ended: a state, `lost`, or
        None where there was none. Raises Stopped, and LutnasError where the service refuses the agent itself, with
        `once` also where it stays away.
        """
        while True:
            claim = self._claim(once, poll_seconds)
            if claim is not None:
                ended = self._work(claim, once)
                if once:
                    return ended
                if ended == BACK:
                    self.stop.sleep(LONGEST_WAIT)  # it is given out again at once, and the service is broken
            elif once:
                return None
            else:
                self.stop.sleep(poll_seconds)

    def _claim(self, once: bool, wait: float) -> Claim | None:
        while True:
            self.stop.check()
            try:
                return self.patient.requests.claim(self.device, self.name)
            except LutnasError as error:
                if once or (isinstance(error, ProblemError) and error.status < 500):
                    raise
                self.say(f"warning: {error}; trying again in {wait:.0f} s")
            self.stop.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _work(self, claim: Claim, once: bool) -> str:
        """Answers one request; gives its state then, `lost`, or BACK where the service takes no answer. Raises Stopped,
        and LutnasError where it refuses one, or with `once`: the request is given back then, too.
        """
        request = claim["request"]
        self.say(f"{request['kind']} {request['id']}, attempt {claim['lease']['attempt']}")
        self.show(request)
        try:
            ended = self._ended(claim)
        except Stopped:
            self._give_back(claim)
            raise
        except Lost:
            return self._lost(claim)
        except LutnasError as error:
            if isinstance(error, ProblemError) and error.status in TAKEN:
                return self._lost(claim)
            self._give_back(claim)
            if once or (isinstance(error, ProblemError) and error.status < 500):
                raise
            self.say(f"warning: the answer to {request['id']} did not get through: {error}")
            return BACK
        self.say(f"{request['id']} {ended['state']}")
        self.show(ended)
        return ended["state"]

    def _ended(self, claim: Claim) -> DeviceRequest:
        try:
            return self._answered(claim)
        except Cancelled:
            return self.patient.requests.release(claim)

    def _answered(self, claim: Claim) -> DeviceRequest:
        """The request as it ended: succeeded, or failed with what went wrong."""
        try:
            with Heart(lambda told: self.quick.requests.heartbeat(claim, told), claim["lease"]["seconds"]) as heart:
                result = self.answer(claim["request"], self._watch(heart))
                heart.check()
        except (Stopped, Cancelled, Lost):
            raise
        except Exception as error:
            return self._failed(claim, error)
        try:
            return self.patient.requests.finish(claim, result)
        except LutnasError as error:
            if isinstance(error, ProblemError) and error.status in TAKEN:
                raise
            return self._failed(claim, error)

    def _failed(self, claim: Claim, error: Exception) -> DeviceRequest:
        detail = self.explain(error)
        self.say(f"error: {detail}")
        return self.patient.requests.fail(claim, storable(detail)[:MOST_DETAIL])

    def _watch(self, heart: Heart) -> Watch:
        def watch(done: int, total: int, seconds_left: float) -> None:
            heart.progress = {"done": done, "total": total, "seconds_left": seconds_left}
            self.stop.check()
            heart.check()

        return watch

    def _give_back(self, claim: Claim) -> None:
        try:
            ended = self.quick.requests.release(claim)
        except LutnasError as error:
            self.say(f"warning: {claim['request']['id']} is not given back ({error}): it is when its lease runs out")
            return
        self.say(f"gave {ended['id']} back")
        self.show(ended)

    def _lost(self, claim: Claim) -> str:
        self.say(f"warning: {claim['request']['id']} was taken over by another agent, or is gone: leaving it alone")
        return "lost"


def storable(text: str) -> str:
    """`text` without what a database cannot keep: NUL, and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?") or "no reason was given"
