"""Baselines that learn their network: in one job with all others, each moves only what it is about, within budgets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from search import state
from search.architecture import Architecture
from search.baselines import BASELINES, ROUNDS, misfits
from search.baselines.methods import PROPOSALS, finish_of
from search.baselines.offered import bits, widths, zeros
from search.baselines.proposals.gates import Gates
from search.baselines.proposals.noise import Noise
from search.baselines.proposals.ticket import Ticket
from search.baselines.setting import Setting
from search.blocks import MobileBlock
from search.choices import Choices, Sparsity
from search.comparison import Comparison
from search.compression.hard_concrete import expected_density
from search.datasets.data import ImageData
from search.forecast import workload
from search.outcome import Result
from search.points import operating_points
from search.report.compared import SEARCHED, ComparedRun
from search.report.comparison import comparison
from search.run import MisfitError, SearchRun
from search.spec import SearchSpec
from search.task import CLASSIFICATION
from tests.search.builders import tiny_space, tiny_spec, weight_budget
from tests.search.test_baselines import size_budget

CHOICES = Choices(
    precision=("fp32", "w8a8", "w4a4"), width=(1, 0.5), width_multiple=4, sparsity=Sparsity(levels=(0, 0.5, 0.8))
)
LEARNING = tuple(name for name in BASELINES if name not in ("random", "uniform-magnitude", "uniform-int8"))
FREES = {
    "hawq": bits, "magnitude-global": zeros, "magnitude-gradient": zeros, "variational-dropout": zeros,
    "hard-concrete": widths,
}  # fmt: skip


def spec(**changes: object) -> SearchSpec:
    finish = {"epochs": 1, "batch_size": 40}
    document = tiny_spec().model_dump() | {
        "choices": CHOICES.model_dump(),
        "finish": finish,
        "trials": {"finalists": 0},
    }
    return SearchSpec.model_validate(document | changes)


def start(digits: ImageData, wanted: SearchSpec) -> SearchRun:
    space = tiny_space().offering(wanted.choices)
    return SearchRun(wanted, space=space, data=digits, budgets=[weight_budget(space, 0.7), size_budget(space, 0.4)])


ALL = {"baselines": list(BASELINES), "comparison": {"points": 2}}


@pytest.fixture(scope="module")
def calm(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchRun, Result]:
    """A job with every baseline that nobody interrupts."""
    run = start(digits, spec(**ALL))
    for _ in run:
        pass
    return run, run.export(tmp_path_factory.mktemp("calm"))


def rows(result: Result) -> Iterator[tuple[ComparedRun, ComparedRun]]:
    """Each row beside that of the search at the same point."""
    searched = {row.share: row for row in result.compared if row.method == SEARCHED}
    yield from ((row, searched[row.share]) for row in result.compared)


def test_one_job_compares_with_every_baseline_within_the_budgets_of_every_point(
    calm: tuple[SearchRun, Result],
) -> None:
    run, result = calm
    assert [(row.method, row.share) for row in result.compared] == [
        (method, share) for method in (SEARCHED, *BASELINES) for share in (1.0, 0.85)
    ]
    points = {point.share: point.budgets for point in operating_points(run.budgets, 2)}
    for row in result.compared:
        indices = Architecture(space=run.space, layers=row.layers).indices
        for budget in points[row.share]:
            assert row.predicted[budget.name] == budget.total(indices) <= budget.maximum
    report = comparison(run.space, result.compared, ["pi4", "size"])
    assert {row.method for row in report} == {SEARCHED, *BASELINES}
    assert all(row.accuracy.mean >= 0 for row in report)


def test_each_baseline_moves_only_what_it_is_about(calm: tuple[SearchRun, Result]) -> None:
    run, result = calm
    for row, searched in rows(result):
        if row.method not in LEARNING:
            continue
        pairs = zip(*(Architecture(space=run.space, layers=r.layers).choices for r in (searched, row)), strict=True)
        if row.method in FREES:
            assert all(FREES[row.method](own, other) for own, other in pairs), row.method
        else:
            assert row.layers == searched.layers


def test_a_job_with_every_baseline_interrupted_at_many_steps_ends_bit_identical(
    calm: tuple[SearchRun, Result], digits: ImageData, tmp_path: Path
) -> None:
    """At the job's own budgets alone: no network of the comparison depends on another."""
    document = spec(**{**ALL, "comparison": {"points": 1}})
    run, proposing = start(digits, document), dict[str, int]()
    for number in range(1, 10_000):
        report = next(iter(run), None)
        if report is None:
            break
        if number % 3 == 0 and report.phase == "compare":
            name = str(report.data["method"])
            proposing[name] = proposing.get(name, 0) + bool(report.data.get("proposing"))
            state.save(run.state_dict(), tmp_path / "state")
            torch.rand(number)
            run = start(digits, document)
            run.load_state_dict(state.load(tmp_path / "state"))
    assert all(proposing[name] for name in PROPOSALS)
    (tmp_path / "out").mkdir()
    undisturbed = [row for row in calm[1].compared if row.share == 1.0]
    assert list(run.export(tmp_path / "out").compared) == undisturbed


def test_steps_are_those_that_are_forecast_for_every_baseline(digits: ImageData) -> None:
    wanted = spec(baselines=list(BASELINES), finish={
        "epochs": 1, "batch_size": 80, "distillation": {}})  # fmt: skip
    run = start(digits, wanted)
    found = workload(wanted, run.space, examples=len(digits.y_train), test_examples=len(digits.y_test))
    foreseen, counted = run.steps_left["compare"], 0
    for report in run:
        if report.phase == "compare":
            counted += 1
            assert (report.step, report.steps) == (counted, foreseen)
    assert counted == foreseen == found.compare_steps


def setting_of(run: SearchRun, share: float = 1.0) -> Setting:
    assert run.comparison is not None
    planned = next(one for one in run.comparison.plan if one.point.share == share)
    return run.comparison._setting(planned)


def test_twice_as_long_is_twice_the_steps_and_own_masks_are_not_pruned_anew(calm: tuple[SearchRun, Result]) -> None:
    run, _ = calm
    assert isinstance(run.comparison, Comparison)
    steps = {}
    for method in ("scratch", "scratch-2x", SEARCHED):
        planned = next(one for one in run.comparison.plan if one.method == method)
        steps[method] = run.comparison._trainer(run.comparison._network(planned), planned).steps
    assert steps["scratch-2x"] == 2 * steps["scratch"] == 2 * steps[SEARCHED]
    assert finish_of("lottery-ticket", run.spec.finish).pruning.schedule == "one-shot"
    assert finish_of("hawq", run.spec.finish) == run.spec.finish


def test_new_weights_are_another_draw_for_another_seed_and_none_of_the_search(calm: tuple[SearchRun, Result]) -> None:
    run, _ = calm
    assert run.comparison is not None
    learnt, indices = run.comparison.learnt, run.architecture.indices
    networks = (*(learnt.scratch(indices, seed) for seed in (0, 0, 1)), learnt.inherit(indices))
    first, again, other, inherited = (network.state_dict()["stem.conv.weight"] for network in networks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, inherited)


def sparse_setting(run: SearchRun) -> Setting:
    """Every block at 80 % zeros, whatever the search took."""
    setting = setting_of(run)
    found = []
    for layer in run.space.layers:
        named = [k for k, c in enumerate(layer.choices) if c.candidate.name == "k3_e3" and c.level.sparsity == 0.8]
        found.append(named[0])
    return setting._replace(indices=tuple(found))


def test_a_ticket_has_the_weights_of_step_k_under_masks_of_the_trained_ones(calm: tuple[SearchRun, Result]) -> None:
    setting = sparse_setting(calm[0])
    finish = setting.finish.model_copy(update={"epochs": 10})
    ticket = Ticket(setting._replace(finish=finish))
    densities = []
    for data in ticket:
        block = ticket.trainer.network.layers[0]
        assert isinstance(block, MobileBlock)
        densities.append((data["round"], float(block.expand_mask.double().mean())))
    by_round = [next(d for number, d in densities if number == r) for r in range(1, ROUNDS + 1)]
    assert by_round == sorted(by_round, reverse=True)
    assert by_round[0] == 1.0
    assert ticket.rewind_step == 4
    network = ticket.network()
    for block in network.layers:
        assert isinstance(block, MobileBlock)
        for weight_OM, mask_OM in block.masked_weights():
            assert set(mask_OM.sum(1).tolist()) == {round(0.2 * weight_OM.shape[1])}
    assert ticket.rewound is not None
    own = network.state_dict()
    assert all(torch.equal(own[name], value) for name, value in ticket.rewound.items() if "mask" not in name)
    block = network.layers[0]
    assert isinstance(block, MobileBlock)
    kept = block.expand_mask.clone()
    block.choose_survivors()
    assert not torch.equal(kept, block.expand_mask)


def test_noise_proposes_shares_and_gates_hold_the_density_of_the_search(calm: tuple[SearchRun, Result]) -> None:
    setting = sparse_setting(calm[0])
    longer = setting._replace(finish=setting.finish.model_copy(update={"epochs": 40}))
    noise = Noise(longer)
    for _ in noise:
        pass
    shares = [noise.learnt.of(layer)[0] for layer in calm[0].space.layers]
    assert all(0 <= share <= 1 for share in shares)
    gates = Gates(longer)
    for _ in gates:
        pass
    assert gates.gated
    target = gates.learnt.target
    assert target is not None
    assert target.density == gates._density() < 1
    assert expected_density(gates.learnt.model).item() == pytest.approx(target.density, abs=0.15)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hawq", "offers one precision alone"),
        ("magnitude-global", "offers one level of zeros alone"),
        ("magnitude-gradient", "offers one level of zeros alone"),
        ("variational-dropout", "offers one level of zeros alone"),
        ("lottery-ticket", "offers no unstructured zeros"),
        ("hard-concrete", "no layer of tiny offers one kernel at several widths"),
    ],
)
def test_a_baseline_that_the_space_cannot_hold_is_refused_by_name(name: str, told: str) -> None:
    space = tiny_space(candidates=["k3_e1", "k5_e3", "skip"])
    points = operating_points([weight_budget(space, 0.9)], 1)
    ((place, reason),) = misfits((name,), space, points)
    assert place == 0
    assert reason.startswith(f"{name}: ")
    assert told in reason


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"baselines": ["scratch"], "finish": {"epochs": 0}}, "scratch needs training, and finish.epochs is 0"),
        ({"baselines": ["lottery-ticket"], "finish": {"epochs": 0}}, "lottery-ticket needs training"),
        ({"baselines": ["scratch"], "finish": {"weights": "scratch"}}, "is what finish.weights asks of the job itself"),
        ({"baselines": ["hawq"], "strategy": "hawq", "search": {}, "hawq": {}}, "is the strategy of the job itself"),
    ],
)
def test_a_baseline_that_makes_no_sense_in_a_job_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        spec(**changes)


def test_a_baseline_of_classifiers_is_refused_for_another_task(digits: ImageData) -> None:
    class Other:
        metric_name = "closeness"
        head = staticmethod(CLASSIFICATION.head)
        loss = staticmethod(CLASSIFICATION.loss)
        metric = staticmethod(CLASSIFICATION.metric)

    wanted = spec(baselines=["variational-dropout"])
    space = tiny_space().offering(wanted.choices)
    with pytest.raises(MisfitError, match="baselines: variational-dropout looks into the head of a classifier"):
        SearchRun(wanted, space=space, data=digits, budgets=[weight_budget(space, 0.7)], task=Other())
