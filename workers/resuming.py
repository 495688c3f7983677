"""Going on from a checkpoint, or beginning anew where it is of no use."""

import logging
from typing import Any

from api.artifacts.store import StoreError
from api.jobs import lease as door
from api.jobs.environments import differences
from search.state import StateError
from workers.ending import Unloaded, from_the_store
from workers.inputs import age_of, load_checkpoint
from workers.records import Records
from workers.report import Run

_logger = logging.getLogger(__name__)


def resume(run: Run, checkpoint: door.KeptCheckpoint, records: Records, here: dict[str, Any]) -> int:
    """The step that `run` stands at now: the checkpoint's, or 0 where that is gone, damaged or of an older version.
    Raises StoreError or StateError where one was lost before, as the job's workers may have two stores, and Unloaded
    where the store does not answer or the checkpoint is of a newer version.
    """
    job_id = records.lease.job_id
    try:
        with from_the_store():
            kept = load_checkpoint(checkpoint, records.store)
    except (StoreError, StateError) as error:
        with records.database.read() as session:
            if door.has_lost_a_checkpoint(session, job_id):
                raise
        return _begin_anew(records, f"the checkpoint cannot be read ({error})", lost="checkpoint")
    age = age_of(kept["run"])
    if age == "newer":  # it waits for a worker that is
        raise Unloaded(RuntimeError("the checkpoint is of a newer version of lutnas than this worker: upgrade it"))
    if age == "older":
        return _begin_anew(records, "the checkpoint is of another version of lutnas")
    run.load_state_dict(kept["run"])
    step = checkpoint.step
    _logger.info("%s: attempt %d goes on at step %d", job_id, records.lease.attempt, step)
    if differs := differences(kept["environment"], here):
        told = "; ".join(
            f"{one['name']} {one['first'] or 'not told'}, now {one['again'] or 'not told'}" for one in differs
        )
        detail = f"goes on in another environment, so the result may differ in bits: {told}"
        records.event("warning", step, {"detail": detail})
    return step


def _begin_anew(records: Records, why: str, **more: str) -> int:
    records.event("warning", 0, {"detail": f"{why}: the job begins anew, with the inputs that it has", **more})
    records.end(lambda session: door.begin_anew(session, records.lease))
    return 0
