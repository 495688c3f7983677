"""What a job is expected to take, at the pace that finished jobs of this service had."""

from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.datasets.schemas import Examples
from api.jobs.models import SUCCEEDED, SearchJob
from search.forecast import Pace, Workload, counted, stated_pace, workload
from search.space import Space
from search.spec import SearchSpec

_MOST_JOBS = 10  # whose median counts: machines change
_LOOKED_AT = 100


def forecast(
    session: Session, spec: SearchSpec, space: Space, *, examples: Examples, threads: int, trains_only: bool = False
) -> dict[str, Any]:
    """A `ForecastView` as JSON. A job that `trains_only` does no more than the finish of `spec`."""
    work = workload(spec, space, examples=examples.train, test_examples=examples.test, trains_only=trains_only)
    pace = pace_of_service(session, threads)
    return {
        "expected_seconds": round(work.seconds(pace), 1), "expected_memory_bytes": work.memory_bytes,
        "search_steps": work.search_steps, "trial_steps": work.trial_steps, "teach_steps": work.teach_steps,
        "finish_steps": work.finish_steps, "compare_steps": work.compare_steps, "rests_on": pace.rests_on,
    }  # fmt: skip


def measured_pace(
    work: Workload, *, search_step_seconds: float | None, finish_step_seconds: float | None, threads: int
) -> dict[str, Any]:
    """What a job that ends leaves for the forecasts of others: multiply-adds a second, as far as steps were timed."""
    search = work.search_step_macs / search_step_seconds if search_step_seconds else None
    finish = work.finish_step_macs / finish_step_seconds if finish_step_seconds else None
    return {"threads": threads, "search_macs_per_second": search, "finish_macs_per_second": finish}


def pace_of_service(session: Session, threads: int) -> Pace:
    """The median of the newest finished jobs on as many threads, whoever's they are; else the stated constant."""
    ended = select(SearchJob.pace).where(SearchJob.state == SUCCEEDED, SearchJob.pace.is_not(None))
    rows = session.scalars(ended.order_by(SearchJob.finished_at.desc()).limit(_LOOKED_AT))
    paces = [pace for pace in rows if pace is not None and _is_known(pace, threads)][:_MOST_JOBS]
    stated = stated_pace(threads)
    search = _median(paces, "search_macs_per_second")
    finish = _median(paces, "finish_macs_per_second")
    if not paces:
        return stated
    rates = search or stated.search_macs_per_second, finish or stated.finish_macs_per_second
    count = counted(len(paces), "finished job")
    return Pace(*rates, rests_on=f"the median pace of {count} of this service on {counted(threads, 'thread')}")


def _is_known(pace: dict[str, Any], threads: int) -> bool:
    rates = pace["search_macs_per_second"], pace["finish_macs_per_second"]
    return pace["threads"] == threads and any(rate is not None for rate in rates)


def _median(paces: list[dict[str, Any]], name: str) -> float | None:
    known = [pace[name] for pace in paces if pace[name] is not None]
    return median(known) if known else None
