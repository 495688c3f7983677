"""A search can be for another task than classification, and can start from weights of an earlier one."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latency.operator import Operator
from search import state
from search.architecture import Architecture
from search.batches import calibration
from search.choices import Choices, Sparsity
from search.datasets.data import ImageData
from search.network import Network, load_weights, recalibrate, save_weights
from search.run import SearchRun
from search.space import Space
from search.supernet import Supernet
from search.supernet.pretrained import PretrainedMisfit, load_pretrained, read_pretrained, save_pretrained
from search.task import Classification
from tests.search.builders import tiny_space, tiny_spec, weight_budget


class HowMuch:
    """Names the digit as a number: one output, squared error, how close it came."""

    metric_name = "closeness"

    def head(self, operator: Operator) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(operator.c_in, 1))

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        return F.mse_loss(output[:, 0], y_N.float())

    def metric(self, output: Tensor, y_N: Tensor) -> Tensor:
        return -(output[:, 0] - y_N).abs()


def test_a_task_brings_its_loss_metric_and_head(digits: ImageData, tmp_path: Path) -> None:
    space = tiny_space()
    document = tiny_spec(weight_lr=0.01).model_dump() | {"finish": {"epochs": 8, "batch_size": 32, "lr": 0.01}}
    spec = tiny_spec().model_validate(document)
    run = SearchRun(spec, space=space, data=digits, budgets=[weight_budget(space, 0.6)], task=HowMuch())
    reports = list(run)
    told = [report.data for report in reports if report.phase in ("search", "finish")]
    assert all(data["closeness"] < 0 and "accuracy" not in data for data in told)
    assert run.choosing.assessor is not None
    assert run.trainer is not None
    finish = [report.data["loss"] for report in reports if report.phase == "finish"]
    assert finish[-1] < finish[0]
    network = run.trainer.network.eval()
    save_weights(network, tmp_path / "weights.safetensors")
    kept, x = load_weights(tmp_path / "weights.safetensors", HowMuch().head), torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(kept(x), network(x))
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="a Sequential as head cannot be exported: give it a `folded` method"):
        run.export(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    result = run.export(tmp_path / "out", onnx=False)
    assert {path.name for path in result.files} == {path.name for path in (tmp_path / "out").iterdir()}
    assert "model.onnx" not in {path.name for path in result.files}
    assert result.test_metric < 0


def lively(space: Space) -> Supernet:
    supernet = Supernet(space)
    for value in supernet.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=torch.Generator().manual_seed(value.numel())))
    return supernet


class Nervous(Classification):
    """A head with a BatchNorm of its own, dropout, and a layer that is to stay as it is."""

    def head(self, operator: Operator) -> nn.Module:
        frozen = nn.Linear(operator.c_in, 16)
        frozen.requires_grad_(False)
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(pooled, frozen, nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 10))


def test_a_head_of_ones_own_may_freeze_normalise_and_drop_out_and_bits_stay_the_same(
    digits: ImageData, tmp_path: Path
) -> None:
    def start() -> SearchRun:
        space = tiny_space()
        return SearchRun(tiny_spec(), space=space, data=digits, budgets=[weight_budget(space, 0.6)], task=Nervous())

    run = start()
    first = {name: value.clone() for name, value in run.searcher.supernet.state_dict().items()}
    calm = list(run)
    frozen = [name for name in first if name.startswith("head.1.")]
    last = run.searcher.supernet.state_dict()
    assert len(frozen) == 2
    assert all(torch.equal(first[name], last[name]) for name in frozen)
    again, told = start(), []
    while (report := next(iter(again), None)) is not None:
        told.append(report)
        state.save(again.state_dict(), tmp_path / "state")
        torch.rand(7)  # whatever else draws random numbers does not matter
        again = start()
        again.load_state_dict(state.load(tmp_path / "state"))
    assert [(one.phase, one.step, one.data) for one in told] == [(one.phase, one.step, one.data) for one in calm]
    assert run.trainer is not None
    run.trainer.settle()
    norm = run.trainer.network.head[2]  # type: ignore[index]
    recalibrated = deepcopy(run.trainer.network)
    recalibrate(recalibrated, run.trainer.calibration())
    assert torch.equal(recalibrated.head[2].running_mean, norm.running_mean)  # type: ignore[index]
    scored = run.choosing.assessor
    assert scored is not None
    scored.score(run.architecture.indices)
    assert torch.equal(run.searcher.supernet.head[2].running_mean, last["head.2.running_mean"])  # type: ignore[index]


def test_a_sub_network_that_scores_no_number_is_told_by_name(digits: ImageData) -> None:
    run = SearchRun(tiny_spec(), space=tiny_space(), data=digits, budgets=[weight_budget(tiny_space(), 0.6)])
    next(report for report in run if report.phase == "draw")
    with torch.no_grad():
        next(run.searcher.supernet.head.parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"the sub-network \w.* scores \[nan"):
        list(run)


def test_recalibration_does_not_depend_on_the_statistics_that_were(digits: ImageData) -> None:
    """Though what rounds sizes its grids by them."""
    space = tiny_space(choices=Choices(precision=("w4a4",), ends="w8a8"))
    x_NCHW = torch.from_numpy(digits.x_train)
    networks = [Network.new(Architecture.from_indices(space, [1] * len(space.layers)), 0) for _ in range(2)]
    for name, buffer in networks[1].named_buffers():
        if name.endswith("rms"):
            buffer.fill_(40.0)
    for network in networks:
        recalibrate(network, calibration(x_NCHW, most=40))
    found = [dict(network.named_buffers()) for network in networks]
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_a_supernet_starts_from_the_weights_of_another_but_not_from_its_theta(tmp_path: Path) -> None:
    before, after = lively(tiny_space()), Supernet(tiny_space())
    save_pretrained(before, tmp_path / "supernet.safetensors")
    load_pretrained(after, read_pretrained(tmp_path / "supernet.safetensors"))
    fresh = Supernet(tiny_space()).state_dict()
    for name, value in after.state_dict().items():
        assert torch.equal(value, fresh[name] if name.startswith("theta.") else before.state_dict()[name]), name


def test_a_search_of_bits_and_other_classes_starts_from_one_in_float() -> None:
    before = lively(tiny_space())
    after = Supernet(tiny_space(classes=4).offering(Choices(precision=("w8a8", "w4a4"))))
    load_pretrained(after, before.state_dict())
    own, given = after.state_dict(), before.state_dict()
    assert torch.equal(own["stem.conv.weight"], given["stem.conv.weight"])
    assert own["head.linear.weight"].shape == (4, 16)


def test_another_task_starts_from_a_classifier_with_a_head_of_its_own() -> None:
    before, after = lively(tiny_space()), Supernet(tiny_space(), head=HowMuch().head)
    load_pretrained(after, before.state_dict())
    assert torch.equal(after.state_dict()["stem.conv.weight"], before.state_dict()["stem.conv.weight"])


def test_which_weights_zeros_keep_is_decided_anew() -> None:
    """Levels of another space count other levels: taken over, they would point beyond the shares of this one."""
    four = Choices(sparsity=Sparsity(levels=(0, 0.25, 0.5, 0.75)))
    two = Choices(sparsity=Sparsity(levels=(0, 0.5)))
    before = lively(tiny_space(candidates=["k3_e3", "k3_e6"]).offering(four))
    before.choose_survivors()
    after = Supernet(tiny_space(candidates=["k3_e6", "k3_e6_g2"]).offering(two))
    load_pretrained(after, before.state_dict())
    levels = [value for name, value in after.state_dict().items() if name.endswith("_levels")]
    assert len(levels) == 6
    assert max(int(value.max()) for value in levels) == 2


def test_weights_of_another_space_are_refused_by_name_and_nothing_is_taken() -> None:
    supernet = Supernet(tiny_space(candidates=["k3_e1", "k3_e3", "skip"]))
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with pytest.raises(
        PretrainedMisfit, match=r"layers.0.path.expand.weight: tiny needs \(24, 8, 1, 1\).*it is \(48, 8, 1, 1\)"
    ):
        load_pretrained(supernet, lively(tiny_space()).state_dict())
    with pytest.raises(PretrainedMisfit, match=r"it is missing: take weights"):
        load_pretrained(supernet, {})
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_a_run_from_pretrained_weights_starts_better(digits: ImageData) -> None:
    space = tiny_space()
    budgets = [weight_budget(space, 0.6)]
    first = SearchRun(tiny_spec(epochs=6), space=space, data=digits, budgets=budgets)
    for _ in first.searcher:
        pass
    weights = first.searcher.supernet.state_dict()
    fresh = SearchRun(tiny_spec(), space=space, data=digits, budgets=budgets)
    second = SearchRun(tiny_spec(), space=space, data=digits, budgets=budgets, pretrained=weights)
    assert next(iter(second)).data["loss"] < next(iter(fresh)).data["loss"]
