"""What a search leaves lying: regret against the best feasible architecture of the table of truth.

Five budgets, three seeds, one search each. Every architecture was trained alone (benchmarks/truth.py); the best is
chosen and scored on different seeds. Peers cost at least as much as our search, in CPU time of this run:
  random       trains architectures drawn within the budget, as many of the mean one there as the cost allows, and takes
               the best of them; the mean over DRAWS such draws, as one is luck
  random_near  the same, drawn among those that spend 95 % of the budget, as the baseline `random` of a job is
  reference    FBNet's own supernet: a weight a choice, soft samples; its most likely architecture within the budget
  two_path     the same with two paths a step (ProxylessNAS)
Supernet peers derive by theta, as their papers do, and score no finalists: what they are given goes into training.
`ci_high` is the upper end of the paired 95 % interval of (our regret - the peer's), in points of accuracy; pairs are
taken for independent, though networks that come again bring the same error of their row. `ci_high_by_seed` takes the
mean of each seed for one: of three it is very wide.
`search_over_training` compares `search_seconds`, scoring included, with training the derived network for as many epochs
as the search had (`training_seconds`), in CPU time, on average; `worst_search_over_training` is that of one search. A
tight budget leaves a network that trains in half the time, and the search no shorter.
"""

import itertools
import math
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

from scipy import stats

from benchmarks._reporting import at_least, parser, say, show
from benchmarks._truth_table import Indices, TruthTable
from benchmarks.truth import RECIPE, pictures
from search.architecture import Architecture
from search.assessing import Assessor
from search.budget import NEAR
from search.budgets import sum_budget
from search.derive import Budget, solve_best
from search.finish import Trainer
from search.machine import use_threads
from search.network import Network
from search.randomness import seeded
from search.searcher import Searcher
from search.spec import Search

OURS = Search(epochs=4, warmup_epochs=1, batch_size=64)
FINALISTS = 32
PEERS = {
    "reference": {"supernet": "reference", "sampler": "gumbel", "weight_sampler": "gumbel"},
    "two_path": {"supernet": "reference", "sampler": "two-path", "weight_sampler": "two-path"},
}
RANDOM_SHARES = {"random": 0.0, "random_near": NEAR}
FIRST_SEED = 3  # how finalists are chosen was settled with 0 to 2 in sight
COMPARED = 50  # architectures whose rank by the supernet is compared with their rank by training alone
POINTS = 100.0
DRAWS = 200


def budget_of(truth: TruthTable, max_us: float) -> Budget:
    """The predicted latency of the truth's space, at most `max_us`."""
    return sum_budget("cpu", truth.space, truth.latencies.latency_us, max_us)


def searched(truth: TruthTable, max_us: float, settings: Search, seed: int) -> tuple[Searcher, float]:
    """A finished search and its CPU seconds."""
    begin = time.process_time()
    budgets = [budget_of(truth, max_us)]
    searcher = Searcher(truth.space, data=pictures(), budgets=budgets, settings=settings, seed=seed)
    for _ in searcher:
        pass
    return searcher, time.process_time() - begin


def compile_kernels(truth: TruthTable) -> None:
    """They are compiled at their first call on a machine: the first search would take seconds that no other does."""
    settings = OURS.model_copy(update={"warmup_epochs": 0})
    budgets = [budget_of(truth, truth.budgets_us()[0])]
    for _ in itertools.islice(Searcher(truth.space, data=pictures(), budgets=budgets, settings=settings, seed=0), 20):
        pass


def ours(truth: TruthTable, max_us: float, seed: int) -> tuple[Indices, float, Assessor]:
    """What our search derives, its CPU seconds, and what scored its finalists."""
    searcher, seconds = searched(truth, max_us, OURS, seed)
    begin = time.process_time()
    assessor = Assessor(
        searcher.supernet,
        held_out=searcher.theta_batches,
        samples=OURS.evidence_samples,
        propose=lambda contributions: searcher.finalists(FINALISTS, scored=contributions),
        most=FINALISTS,
        seed=seed,
    )
    for _ in assessor:
        pass
    return assessor.best(), seconds + time.process_time() - begin, assessor


def peer(truth: TruthTable, max_us: float, seed: int, name: str, seconds: float) -> tuple[Indices, float]:
    """What a supernet peer derives that was given at least `seconds`, and what it took."""
    epochs, spent = 2, 0.0
    while True:
        settings = Search.model_validate({**OURS.model_dump(), **PEERS[name], "epochs": epochs})
        searcher, spent = searched(truth, max_us, settings, seed)
        if spent >= seconds:
            return solve_best(searcher.supernet.theta.worth(), searcher.budgets, 1)[0], spent
        epochs = max(epochs + 1, round(epochs * seconds / spent + 0.5))


def random_peer(
    truth: TruthTable, max_us: float, seed: int, trainings: float, draw: int = 0, share: float = 0.0
) -> Indices:
    """The best, by one seed's training, of as many architectures that spend `share` of the budget as cost allows."""
    rng = random.Random(f"{seed} {max_us} {draw}")
    least_us = share * max_us
    rows = [indices for indices, row in truth.rows.items() if least_us <= row.predicted_latency_us <= max_us]
    drawn = rng.sample(rows, min(len(rows), math.ceil(trainings)))
    return max(drawn, key=lambda indices: truth.rows[indices].accuracies[seed % truth.seeds])


def random_regret(truth: TruthTable, max_us: float, seed: int, trainings: float, share: float = 0.0) -> float:
    """What it leaves lying, in the mean of many draws."""
    drawn = (random_peer(truth, max_us, seed, trainings, draw, share) for draw in range(DRAWS))
    return statistics.fmean(truth.regret(indices, max_us) for indices in drawn)


def mean_over(truth: TruthTable, max_us: float, indices: Indices, share: float = 0.0) -> float:
    """The training time of the mean architecture that spends `share` of the budget over that of one, as the table has
    them.
    """
    rows = [row for row in truth.feasible(max_us) if row.predicted_latency_us >= share * max_us]
    return statistics.fmean(row.training_seconds for row in rows) / truth.rows[indices].training_seconds


def training_seconds(truth: TruthTable, indices: Indices, seed: int) -> float:
    """CPU seconds of training one architecture alone, for as many epochs as the search has."""
    with seeded(seed, "training alone"):
        network = Network(Architecture.from_indices(truth.space, indices))
    settings = RECIPE.model_copy(update={"epochs": OURS.epochs})
    begin = time.process_time()
    for _ in Trainer(network, data=pictures(), settings=settings, seed=seed):
        pass
    return time.process_time() - begin


def ci_high(differences: Sequence[float]) -> float:
    """Upper end of the 95 % interval of a mean (Student's t)."""
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return statistics.fmean(differences) + float(stats.t.ppf(0.975, len(differences) - 1)) * error


def compared(ours: Sequence[float], peers: Sequence[float], seeds: int) -> dict[str, float | None]:
    """A peer's mean regret, and how sure it is that ours is less: budget by budget, `seeds` of each."""
    differences = [a - b for a, b in zip(ours, peers, strict=True)]
    by_seed = [statistics.fmean(differences[seed::seeds]) for seed in range(seeds)]
    return {
        "regret": round(statistics.fmean(peers), 3),
        "ci_high": round(ci_high(differences), 3),
        "ci_high_by_seed": round(ci_high(by_seed), 3) if seeds > 1 else None,
    }


def rank_correlation(truth: TruthTable, assessor: Assessor) -> float:
    """Spearman's, of the supernet's scores with accuracy trained alone."""
    chosen = random.Random(0).sample(sorted(truth.rows), min(COMPARED, len(truth.rows)))
    scores, accuracies = [assessor.score(i) for i in chosen], [truth.accuracy(i) for i in chosen]
    return float(stats.spearmanr(scores, accuracies).statistic)


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=at_least(1), default=3)
    options.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), metavar="NAME",
        help="supernets to compare with: reference, two_path; without names none, which takes a fifth of the time",
    )  # fmt: skip
    given = options.parse_args()
    use_threads(1)
    truth = TruthTable.load()
    compile_kernels(truth)
    regrets: dict[str, list[float]] = {name: [] for name in ("ours", *RANDOM_SHARES, *given.peers)}
    runs: list[dict[str, Any]] = []
    correlations, ratios, trainings = [], [], []
    for max_us in truth.budgets_us():
        for seed in range(FIRST_SEED, FIRST_SEED + given.seeds):
            begin = time.monotonic()
            found, seconds, assessor = ours(truth, max_us, seed)
            correlations.append(rank_correlation(truth, assessor))
            alone = training_seconds(truth, found, seed)
            ratios.append(seconds / alone)
            trainings.append(alone)
            run = {"ours": round(POINTS * truth.regret(found, max_us), 2)}
            for name, share in RANDOM_SHARES.items():
                one_seconds = alone * mean_over(truth, max_us, found, share) * RECIPE.epochs / OURS.epochs
                run[name] = round(POINTS * random_regret(truth, max_us, seed, seconds / one_seconds, share), 2)
            spent = {"ours": seconds}
            for name in given.peers:
                derived, spent[name] = peer(truth, max_us, seed, name, seconds)
                run[name] = round(POINTS * truth.regret(derived, max_us), 2)
            for name, regret in run.items():
                regrets[name].append(regret)
            took = {name: round(s, 1) for name, s in {**spent, "training": alone}.items()}
            runs.append({"max_us": max_us, "seed": seed, "regret": run, "seconds": took})
            left = (len(truth.budgets_us()) * given.seeds - len(runs)) * (time.monotonic() - begin)
            say(f"{len(runs)}: {max_us} us, seed {seed}: regret {run}; {left / 60:.0f} minutes left")
    peers = {name: compared(regrets["ours"], regrets[name], given.seeds) for name in (*RANDOM_SHARES, *given.peers)}
    figures = {
        "mean_regret": round(statistics.fmean(regrets["ours"]), 3),
        "peers": peers,
        "rank_correlation": round(statistics.fmean(correlations), 3),
        "search_over_training": round(statistics.fmean(ratios), 2),
        "worst_search_over_training": round(max(ratios), 2),
        "search_seconds": round(statistics.fmean(run["seconds"]["ours"] for run in runs), 1),
        "training_seconds": round(statistics.fmean(trainings), 1),
        "row_standard_error": round(POINTS * truth.row_standard_error, 3),
        "median_regret": round(
            POINTS * statistics.fmean(truth.best(m) - truth.median(m) for m in truth.budgets_us()), 3
        ),
        "runs": runs,
    }
    show(figures, as_json=given.json)


if __name__ == "__main__":
    main()
