"""Training a derived network: its zeros, the average of its weights, its float twin, and what it was before."""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from search import state
from search.architecture import Architecture
from search.batches import evaluation, tensors
from search.blocks import MobileBlock
from search.choices import Choices, Sparsity
from search.datasets.data import ImageData, load_digits
from search.finish import Trainer, evaluated, quality_of
from search.finish.distillation import apart
from search.network import Network, recalibrate
from search.run import SearchRun
from search.space import Space
from search.spec import Finish, SearchSpec
from search.supernet import Supernet
from search.task import CLASSIFICATION, top5
from search.unrounded import float_copy
from tests.search.builders import tiny_digits, tiny_space, tiny_spec, weight_budget
from tests.search.test_task import HowMuch

UNSTRUCTURED = Choices(precision=("w8a8",), sparsity=Sparsity(levels=(0.6,)), ends="w8a8")
TWO_OF_FOUR = Choices(sparsity=Sparsity(pattern="2:4", levels=(0.5,)))
GRADUAL = {"schedule": "gradual", "every": 2}
EVERYTHING: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 32,
    "pruning": GRADUAL,
    "ema": 0.9,
    "distillation": {"epochs": 2},
}


def network_of(choices: Choices | None = None, candidates: tuple[str, ...] = ("k3_e3", "k5_e6")) -> Network:
    space = tiny_space(candidates=candidates).offering(choices)
    torch.manual_seed(0)
    return Supernet(space).inherit([0] * len(space.layers))


def trainer(network: Network, data: ImageData | None = None, **finish: Any) -> Trainer:
    settings = Finish.model_validate({"epochs": 3, "batch_size": 32, **finish})
    return Trainer(network, data=data or tiny_digits(), settings=settings, seed=0)


def sparse_blocks(network: Network) -> list[MobileBlock]:
    return [block for block in network.layers if isinstance(block, MobileBlock) and block.level.sparsity]


def masks(network: Network) -> list[torch.Tensor]:
    return [mask for block in sparse_blocks(network) for _, mask in block.masked_weights()]


@pytest.mark.parametrize("choices", [UNSTRUCTURED, TWO_OF_FOUR], ids=["unstructured", "2:4"])
def test_zeros_come_in_gradually_up_to_what_was_searched(choices: Choices) -> None:
    assert choices.sparsity is not None
    network, shares = network_of(choices), list[float]()
    given = masks(deepcopy(network))
    run = trainer(network, pruning=GRADUAL)
    for _ in run:
        shares.append(1 - float(torch.cat([mask.double().flatten() for mask in masks(network)]).mean()))
    assert shares[:2] == [0, 0]
    assert shares == sorted(shares)
    assert len({round(share, 6) for share in shares}) > 4
    assert shares[-4:] == [shares[-1]] * 4
    assert shares[-1] == pytest.approx(choices.sparsity.levels[0], abs=0.05)
    assert [int(mask.sum()) for mask in masks(network)] == [int(mask.sum()) for mask in given]
    assert any(not torch.equal(now, before) for now, before in zip(masks(network), given, strict=True))
    if choices is TWO_OF_FOUR:
        fours = torch.cat([mask.reshape(-1, 4) for mask in masks(network) if mask.shape[1] % 4 == 0])
        assert set(fours.sum(1).tolist()) == {2}


def test_one_shot_zeros_stand_from_the_first_step_and_masked_weights_stay_out() -> None:
    network = network_of(UNSTRUCTURED)
    given = masks(deepcopy(network))
    for _ in trainer(network, pruning={"schedule": "one-shot"}):
        assert all(map(torch.equal, masks(network), given))


@pytest.mark.parametrize(
    ("finish", "is_gradual", "why"),
    [
        ({"epochs": 2}, False, "as 2 epochs of training leave no time to prune gradually: below 5 that ends worse"),
        ({"epochs": 5}, True, "as 5 epochs of training leave time for it: from 5 on gradual pruning is the safer one"),
        ({"epochs": 0}, False, "as 0 epochs of training leave no time"),
        ({"epochs": 9, "pruning": {"schedule": "one-shot"}}, False, "as finish.pruning.schedule asks"),
        ({"epochs": 1, "pruning": {"schedule": "gradual"}}, True, "over steps 1 to 5 of 5, as finish.pruning.schedule"),
    ],
)
def test_the_remaining_budget_chooses_how_zeros_come_and_a_sentence_says_so(
    finish: dict[str, Any], is_gradual: bool, why: str
) -> None:
    run = trainer(network_of(UNSTRUCTURED), **finish)
    (note,) = run.notes
    assert note.startswith("The zeros of 3 layers ")
    assert why in note
    assert (run.pruning is not None) is is_gradual


def test_a_dense_network_has_nothing_to_prune_or_to_tell() -> None:
    run = trainer(network_of(), pruning=GRADUAL)
    assert (run.pruning, run.notes) == (None, ())


def test_the_average_is_that_of_the_formula_and_is_what_settles() -> None:
    """a <- d a + (1 - d) w with d = min(decay, (1 + t) / (10 + t)); masks are those of the last step."""
    network = network_of(UNSTRUCTURED)
    run = trainer(network, ema=0.5, pruning=GRADUAL)
    name = "layers.1.project.weight"
    expected = network.get_parameter(name).detach().clone()
    for step, _ in enumerate(run):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.get_parameter(name).detach()
    last, weight = [mask.clone() for mask in masks(network)], network.get_parameter(name).detach().clone()
    bare = deepcopy(network)
    run.settle()
    torch.testing.assert_close(network.get_parameter(name).detach(), expected)
    assert not torch.equal(network.get_parameter(name), weight)
    assert all(map(torch.equal, masks(network), last))
    assert run.average is not None
    run.average.network = bare
    run.average.write()
    recalibrate(bare, evaluation(run.batches.x_NCHW[run.batches.order(0)]))
    torch.testing.assert_close(
        bare.get_buffer("layers.1.project_bn.running_mean"), network.get_buffer("layers.1.project_bn.running_mean")
    )


def test_statistics_are_taken_over_batches_of_one_size() -> None:
    """A rest of one picture would count as much as five hundred."""
    run = trainer(network_of(), tiny_digits(train=501))
    assert [len(batch) for batch in run.calibration()] == [251, 250]


def test_an_average_of_a_noisy_training_is_better_than_its_last_step() -> None:
    """At a rate that does not fall, the last step is one of many about the optimum."""

    class Steady(Trainer):
        def rate(self) -> float:
            return self.settings.lr

    found = {}
    for ema in (None, 0.9):
        network = network_of()
        settings = Finish(epochs=12, batch_size=16, lr=0.2, ema=ema)
        run = Steady(network, data=tiny_digits(400, 300), settings=settings, seed=0)
        for _ in run:
            pass
        run.settle()
        x_NCHW, y_N = tensors(run.data.x_test, run.data.y_test)
        with torch.no_grad():
            found[ema] = float(CLASSIFICATION.loss(network(next(evaluation(x_NCHW))), y_N))
    assert found[0.9] < found[None]


def test_the_distance_from_the_teacher_is_that_of_hinton() -> None:
    """T^2 sum p log(p / q) of softened answers; in the limit of a large T, (z - v)^2 / 2N (sec. 2.1)."""
    student, teacher = torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor([[0.5, 0.0, 3.0]])
    p, q = ((logits / 4).exp() / (logits / 4).exp().sum() for logits in (teacher, student))
    assert float(apart(student, teacher, 4.0)) == pytest.approx(float(16 * (p * (p / q).log()).sum()), rel=1e-5)
    assert float(apart(teacher, teacher, 4.0)) == pytest.approx(0, abs=1e-6)
    z, v = (logits.double() - logits.double().mean() for logits in (student, teacher))
    assert float(apart(z, v, 1000.0)) == pytest.approx(float((z - v).square().sum()) / 6, rel=1e-2)


def test_the_float_twin_has_the_same_blocks_and_weights_without_bits_and_zeros() -> None:
    choices = Choices(precision=("w4a4",), width=(0.5,), width_multiple=4, sparsity=Sparsity(levels=(0.6,)))
    network = network_of(choices)
    twin = float_copy(network, CLASSIFICATION.head, dense=True)
    for own, plain in zip(network.architecture.operators(), twin.architecture.operators(), strict=True):
        assert (plain.weight_bits, plain.activation_bits, plain.sparsity, plain.pattern) == (32, 32, 0, "")
        assert (plain.kernel, plain.c_mid, plain.c_out, plain.stride) == (own.kernel, own.c_mid, own.c_out, own.stride)
    for name, parameter in twin.named_parameters():
        assert torch.equal(parameter, network.get_parameter(name)), name


def test_the_student_is_drawn_to_its_teacher() -> None:
    """With all of the loss on the teacher's answers it ends closer to them, on pictures neither has seen, than one that
    never saw them. All digits: after the few steps that a tenth of them gives, either may be the closer one.
    """
    digits = load_digits()
    taught, alone = network_of(UNSTRUCTURED), network_of(UNSTRUCTURED)
    run, other = trainer(taught, digits, distillation={"weight": 1.0}), trainer(alone, digits)
    phases = [report.phase for report in run]
    assert phases == ["teach"] * 132 + ["finish"] * 132
    for _ in other:
        pass
    run.settle()
    other.settle()
    assert run.teacher is not None
    assert run.teacher_metric == evaluated(run.teacher.network, digits)
    x_NCHW = next(evaluation(tensors(digits.x_test, digits.y_test)[0]))
    with torch.no_grad():
        teacher = run.teacher.network(x_NCHW)
        far, near = (float(apart(network(x_NCHW), teacher, 4.0)) for network in (alone, taught))
    assert near < 0.8 * far


def test_the_teacher_trains_as_the_network_would_alone() -> None:
    network = network_of(UNSTRUCTURED)
    twin = float_copy(network, CLASSIFICATION.head, dense=True)
    run = trainer(network, distillation={"epochs": 2})
    for report in run:
        if report.phase == "finish":
            break
    by_itself = trainer(twin, epochs=2)
    for _ in by_itself:
        pass
    by_itself.settle()
    assert run.teacher is not None
    for name, value in twin.state_dict().items():
        assert torch.equal(value, run.teacher.network.state_dict()[name]), name


def test_a_training_with_everything_goes_on_bit_for_bit_in_either_phase(tmp_path: Path) -> None:
    undisturbed = trainer(network_of(UNSTRUCTURED), **EVERYTHING)
    reports = list(undisturbed)
    undisturbed.settle()
    assert [report.phase for report in reports] == ["teach"] * 10 + ["finish"] * 15
    run, told = trainer(network_of(UNSTRUCTURED), **EVERYTHING), list[Any]()
    while (report := next(iter(run), None)) is not None:
        told.append(report)
        state.save(run.state_dict(), tmp_path / "state")
        torch.rand(3)
        run = trainer(network_of(UNSTRUCTURED), **EVERYTHING)
        run.load_state_dict(state.load(tmp_path / "state"))
    run.settle()
    assert told == reports
    assert run.teacher_metric == undisturbed.teacher_metric
    for name, value in undisturbed.network.state_dict().items():
        assert torch.equal(value, run.network.state_dict()[name]), name
    state.save(run.state_dict(), tmp_path / "state")
    last = trainer(network_of(UNSTRUCTURED), **EVERYTHING)
    last.load_state_dict(state.load(tmp_path / "state"))
    last.settle()
    assert last.teacher_metric == undisturbed.teacher_metric
    assert all(map(torch.equal, last.network.state_dict().values(), run.network.state_dict().values()))


def spec_of(**finish: Any) -> SearchSpec:
    document = tiny_spec().model_dump() | {"finish": {**EVERYTHING, **finish}, "trials": {"finalists": 2}}
    return SearchSpec.model_validate(document).model_copy(update={"choices": UNSTRUCTURED})


def test_a_search_keeps_what_its_network_was_before_through_interruptions(digits: ImageData, tmp_path: Path) -> None:
    space = tiny_space().offering(UNSTRUCTURED)

    def begun() -> SearchRun:
        return SearchRun(spec_of(), space=space, data=digits, budgets=[weight_budget(space, 0.6)])

    calm, folders = begun(), [tmp_path / "calm", tmp_path / "again"]
    for report in calm:
        if report.phase == "derive":
            assert calm.trainer is not None
            as_given = deepcopy(calm.trainer.network)
            done = dict.fromkeys(("search", "warm-start", "draw", "assess", "trial", "compare"), 0)
            assert calm.steps_left == {**done, "teach": 10, "finish": 15}
    run, phases = begun(), set[str]()
    while (one := next(iter(run), None)) is not None:
        if one.phase in ("derive", "teach", "finish"):
            phases.add(one.phase)
            state.save(run.state_dict(), tmp_path / "state")
            run = begun()
            run.load_state_dict(state.load(tmp_path / "state"))
    assert phases == {"derive", "teach", "finish"}
    for folder in folders:
        folder.mkdir()
    first, second = calm.export(folders[0]), run.export(folders[1])
    assert [f.read_bytes() for f in first.files] == [f.read_bytes() for f in second.files]
    for field in ("before", "top5_before", "top5", "test_metric", "teacher", "notes"):
        assert getattr(first, field) == getattr(second, field), field
    assert calm.trainer is not None
    recalibrate(as_given, evaluation(calm.trainer.batches.x_NCHW[calm.trainer.batches.order(0)]))
    was = quality_of(as_given, digits)
    assert (first.before, first.top5_before) == (was.metric, was.top5)
    assert first.top5 is not None
    assert first.top5 >= first.test_metric
    assert "came in gradually" in first.notes[0]


def test_nothing_is_told_of_before_where_nothing_was_inherited(digits: ImageData, tmp_path: Path) -> None:
    space = tiny_space().offering(UNSTRUCTURED)
    spec = spec_of(weights="scratch", epochs=1, distillation=None)
    run = SearchRun(spec, space=space, data=digits, budgets=[weight_budget(space, 0.6)])
    for _ in run:
        pass
    result = run.export(tmp_path)
    assert (result.before, result.top5_before, result.teacher) == (None, None, None)


def test_top_five_counts_labels_among_the_five_greatest_and_only_of_more_classes() -> None:
    output = torch.tensor([[6.0, 5, 4, 3, 2, 1]] * 3)
    assert top5(output, torch.tensor([0, 4, 5])).tolist() == [1, 1, 0]
    few = tiny_digits()
    five = ImageData("five", few.x_train, few.y_train % 5, few.x_test, few.y_test % 5, 5)
    assert quality_of(network_of().eval(), five).top5 is None
    assert quality_of(network_of().eval(), few).top5 is not None


def regression(space: Space) -> Callable[[], Any]:
    network = Network(Architecture.from_indices(space, [0] * len(space.layers)), HowMuch().head)
    settings = Finish.model_validate({"distillation": {}})
    return lambda: Trainer(network, data=tiny_digits(), settings=settings, seed=0, task=HowMuch())


def test_a_task_without_classes_cannot_be_taught(digits: ImageData) -> None:
    space = tiny_space()
    spec = tiny_spec().model_copy(update={"finish": Finish.model_validate({"distillation": {}})})
    for begin in (
        regression(space),
        lambda: SearchRun(spec, space=space, data=digits, budgets=[weight_budget(space, 0.6)], task=HowMuch()),
    ):
        with pytest.raises(ValueError, match=r"finish.distillation: HowMuch has no logits of classes to soften"):
            begin()


@pytest.mark.parametrize(
    ("finish", "said"),
    [
        ({"pruning": {"begin": 0.5, "end": 0.5}}, "begin 0.5 has to be below end 0.5"),
        ({"pruning": {"schedule": "slow"}}, "schedule"),
        ({"ema": 1.0}, "ema"),
        ({"distillation": {"temperature": 0}}, "temperature"),
        ({"epochs": 0, "distillation": {}}, "distillation: needs training, and epochs is 0"),
        ({"epochs": 0, "pruning": {"schedule": "gradual"}}, "pruning.schedule: needs training, and epochs is 0"),
        ({"epochs": 0, "weights": "scratch"}, "weights: needs training, and epochs is 0"),
    ],
)
def test_a_finish_that_cannot_be_is_refused(finish: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Finish.model_validate(finish)


def test_trials_are_trained_alone_and_without_an_average() -> None:
    tried = Finish.model_validate(EVERYTHING).of_trial(1)
    assert (tried.epochs, tried.distillation, tried.ema) == (1, None, None)
    assert math.isclose(tried.lr, 0.1)
