"""Whom the kills of `chaos` hit, by what workers say in their logs."""

import math
import random
import re
import time
from collections import Counter

from benchmarks._site import Site

BEGAN, ENDED = re.compile(r"(job_\w+): attempt \d+ begins"), re.compile(r"(job_\w+): succeeded")


def logs(site: Site) -> dict[str, str]:
    """What each worker said since the beginning."""
    return {path.stem: path.read_text(errors="replace") for path in sorted(site.folder.glob("worker-*.log"))}


def hit(site: Site) -> set[str]:
    """The jobs that began more than once."""
    begins = Counter(job for log in logs(site).values() for job in BEGAN.findall(log))
    return {one for one, count in begins.items() if count > 1}


class Turns:
    """Whom the next kill hits: of the workers whose job was not hit yet, the one that has run longest. A job is due
    `patience` seconds after it was first seen, and has as long to begin again once it was killed.
    """

    def __init__(self, site: Site, drawn: random.Random, *, patience: float) -> None:
        self.site, self.drawn, self.patience = site, drawn, patience
        self._since: dict[str, float] = {}
        self._killed: dict[str, float] = {}

    def is_due(self) -> bool:
        """Whether a job has waited too long."""
        return any(time.monotonic() - since > self.patience for since in self._unhit().values())

    def next(self) -> str:
        """The worker; any, where no job is left to hit."""
        waiting = self._unhit()
        if not waiting:
            return self.drawn.choice(sorted(logs(self.site)))
        job = min(waiting, key=lambda one: waiting[one])
        self._killed[job] = time.monotonic()
        return next(name for name, one in self._running().items() if one == job)

    def _running(self) -> dict[str, str]:
        """The job that each worker began last, where it has not ended."""
        began = {name: (BEGAN.findall(log), ENDED.findall(log)) for name, log in logs(self.site).items()}
        return {name: begins[-1] for name, (begins, ends) in began.items() if begins and begins[-1] not in ends}

    def _unhit(self) -> dict[str, float]:
        """Jobs that run and were not hit, and since when; one that was killed just now is given time."""
        now, already = time.monotonic(), hit(self.site)
        waiting = [one for one in self._running().values() if one not in already]
        waiting = [one for one in waiting if now - self._killed.get(one, -math.inf) >= self.patience]
        return {one: self._since.setdefault(one, now) for one in waiting}
