"""Jobs on a service under which something dies every few seconds, held against the same jobs on one that nothing harms.

SIGKILL of a worker, of the process in it that trains, of the API; Redis restarted, and empty; Postgres restarted; the
disk of the artifacts full, where root runs this. A job has several checkpoints, and at full size takes half a minute at
the least. What began and ended is counted by what workers say in their logs, not by the database. Kills go to the job
that has run longest without one, and harm goes on after its time while a job runs that none has hit.

The full size, 40 jobs and four workers for ten minutes of harm at the least, takes half an hour of two cores, and 8 GB.
`--jobs 4 --seconds 60 --workers 2 --sqlite` is a small one, without Redis and Postgres.
"""

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from api.artifacts.models import Artifact
from api.db.session import Database
from api.jobs.models import Checkpoint
from benchmarks._harm import Crew, Restarted, SmallDisk, postgres_answers, redis_answers
from benchmarks._reporting import parser, say, show
from benchmarks._site import Site, furnish, job, until
from benchmarks._turns import BEGAN, ENDED, Turns, hit, logs
from lutnas.client import Client
from lutnas.client.errors import LutnasError
from tests.servers.postgres import start_postgres
from tests.servers.redis import start_redis

SEEDS = 2  # different jobs; the others repeat them
FINAL = ("succeeded", "failed", "cancelled")
SETTINGS = {
    "LUTNAS_LEASE_SECONDS": "6", "LUTNAS_SWEEP_SECONDS": "0.5", "LUTNAS_REQUEUE_SECONDS": "5",
    "LUTNAS_KEEP_UNNAMED_SECONDS": "10", "LUTNAS_COLLECT_SECONDS": "5",
}  # fmt: skip
COLLECTED_SECONDS = 30.0  # after the last job: what was killed on its way into the store is removed in that time
Harms = dict[str, Callable[[], None]]


def document(number: int, epochs: int) -> dict[str, Any]:
    """A job that trains for `epochs`, half of them in the search."""
    training = {"epochs": epochs, "batch_size": 64}
    return job(seed=number % SEEDS, search={**training, "warmup_epochs": 1}, finish=training)


def weights(client: Client, job_id: str) -> str:
    """Checksum of the weights that a job gave."""
    return next(a["sha256"] for a in client.job_artifacts(job_id) if a["name"] == "weights.safetensors")


def calm_run(folder: Path, epochs: int) -> tuple[dict[int, str], float]:
    """Checksums of what each seed gives where nothing is harmed, and the seconds that one takes."""
    site = Site(folder, dict(SETTINGS))
    crew = Crew(site, 1)
    try:
        with site.client() as client:
            furnish(client)
            begin, made = time.monotonic(), [str(client.submit(document(seed, epochs))["id"]) for seed in range(SEEDS)]
            until(lambda: all(client.job(one)["state"] in FINAL for one in made), "the calm jobs end", 3600)
            seconds = (time.monotonic() - begin) / SEEDS
            say(f"a calm job takes {seconds:.0f} s")
            return {seed: weights(client, one) for seed, one in enumerate(made)}, round(seconds, 1)
    finally:
        crew.stop()


@contextmanager
def surroundings(folder: Path, *, sqlite: bool) -> Iterator[tuple[Site, Harms]]:
    """A site to harm, and the harms of what is around its processes."""
    with ExitStack() as stack:
        settings, harms = dict(SETTINGS), Harms()
        if not sqlite:
            database = Restarted(start_postgres(), postgres_answers)
            stack.callback(database.stop)
            broker = Restarted(start_redis(), redis_answers)
            stack.callback(broker.stop)
            settings |= {"LUTNAS_DATABASE_URL": database.url, "LUTNAS_BROKER_URL": broker.url}
            harms |= {"postgres restarted": database.harm, "redis restarted and empty": broker.harm}
        if os.geteuid() == 0 and sys.platform == "linux":
            disk = SmallDisk(folder / "artifacts", 256)
            stack.callback(disk.close)
            harms["disk full"] = disk.harm
        yield Site(folder, settings), harms


def harmed_run(crew: Crew, harms: Harms, made: list[str], given: Any, *, patience: float) -> Counter[str]:
    """Harms for `given.seconds`, and while a job runs that was not hit; or until all have ended. How often each. After
    `patience` seconds without a kill it is a job's turn.
    """
    drawn, done = random.Random(given.seed), Counter[str]()
    turns = Turns(crew.site, drawn, patience=patience)
    kills: Harms = {
        "worker killed": lambda: crew.kill_worker(turns.next()),
        "child killed": lambda: crew.kill_child(turns.next()),
    }
    harms = {**kills, "api killed": crew.kill_api, **harms}
    names = sorted([*harms, *kills])  # kills are drawn twice as often: each hits one job, the others all
    end = time.monotonic() + given.seconds
    while not ended(crew.site, made) and (time.monotonic() < end or not hit(crew.site).issuperset(made)):
        time.sleep(drawn.uniform(0.5, 1.5) * given.every)
        name = drawn.choice(sorted(kills) if turns.is_due() else names)
        say(name)
        harms[name]()
        done[name] += 1
        crew.tend()
    return done


def ended(site: Site, made: list[str]) -> bool:
    """Whether all jobs are at their end. An API that is being harmed has not answered yet."""
    try:
        with site.client() as client:
            return all(client.job(one)["state"] in FINAL for one in made)
    except LutnasError:
        return False


def is_over(crew: Crew, made: list[str]) -> bool:
    """Whether all jobs are at their end; sees to it that there are workers until then."""
    crew.tend()
    return ended(crew.site, made)


def orphans(site: Site, database_url: str) -> list[str]:
    """Files of the store that no row names."""
    database = Database(database_url)
    with database.read() as session:
        named = {*session.scalars(select(Artifact.path)), *session.scalars(select(Checkpoint.path))}
    database.close()
    folder = site.folder / "artifacts"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return sorted(there - named)


def uncollected(site: Site, database_url: str) -> dict[str, int]:
    """Files that no row names: as the last job left them, and those that the service did not collect since."""
    left_behind, end = orphans(site, database_url), time.monotonic() + COLLECTED_SECONDS
    while (found := orphans(site, database_url)) and time.monotonic() < end:
        time.sleep(1.0)
    return {"left_behind": len(left_behind), "orphan_artifacts": len(found)}


def verdict(site: Site, made: list[str], calm: dict[int, str]) -> dict[str, Any]:
    """What became of the jobs."""
    said = "".join(logs(site).values())
    begins, ends = Counter(BEGAN.findall(said)), Counter(ENDED.findall(said))
    with site.client() as client:
        rows = [client.job(one) for one in made]
        good = [row for row in rows if row["state"] == "succeeded"]
        same = sum(weights(client, row["id"]) == calm[row["spec"]["seed"]] for row in good)
    return {
        "jobs": len(made), "succeeded": len(good), "finished_twice": sum(count > 1 for count in ends.values()),
        "results_identical_to_calm_run": same,
        "hit_at_least_once": sum(begins[one] > 1 for one in made), "attempts": sum(begins.values()),
        "failed": [row["error"] for row in rows if row["state"] == "failed"],
    }  # fmt: skip


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=40)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--seconds", type=float, default=600.0, help="of harm")
    options.add_argument("--every", type=float, default=5.0, help="seconds between two harms, on average")
    options.add_argument("--epochs", type=int, default=160, help="of the search, and of what comes after it")
    options.add_argument("--checkpoint-seconds", type=float, default=8.0)
    options.add_argument("--sqlite", action="store_true", help="no Postgres and no Redis")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    SETTINGS.update(LUTNAS_CHECKPOINT_SECONDS=str(given.checkpoint_seconds), LUTNAS_MAX_ATTEMPTS="50")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        calm_folder, folder_ = Path(folder, "calm"), Path(folder, "harmed")
        calm_folder.mkdir()
        folder_.mkdir()
        calm, calm_seconds = calm_run(calm_folder, given.epochs)
        with surroundings(folder_, sqlite=given.sqlite) as (site, harms):
            crew = Crew(site, given.workers)
            try:
                with site.client() as client:
                    furnish(client)
                    made = [str(client.submit(document(number, given.epochs))["id"]) for number in range(given.jobs)]
                done = harmed_run(crew, harms, made, given, patience=calm_seconds / 4)
                say("calm now")
                until(lambda: is_over(crew, made), "the jobs end", 3600)
                url = site.settings.get("LUTNAS_DATABASE_URL", f"sqlite:///{site.folder / 'lutnas.db'}")
                figures = {**verdict(site, made, calm), **uncollected(site, url)}
            finally:
                crew.stop()
    figures |= {"calm_job_seconds": calm_seconds, "checkpoint_seconds": given.checkpoint_seconds}
    figures |= {
        "harms": dict(done),
        "harms_in_all": done.total(),
        "workers_gone_by_themselves": crew.gone_by_themselves,
    }
    show(figures, as_json=given.json)
    held = figures["succeeded"] == figures["results_identical_to_calm_run"] == given.jobs
    held = held and figures["hit_at_least_once"] == given.jobs
    sys.exit(not held or figures["finished_twice"] > 0 or figures["orphan_artifacts"] > 0)


if __name__ == "__main__":
    main()
