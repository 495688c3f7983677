"""Which weights stay: each criterion against its formula, scopes, rounds, and regrowth."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

from search.compression.layers import weighted
from search.compression.magnitude import (
    Criterion,
    Masks,
    apply_masks,
    choose,
    density,
    in_rounds,
    prune_in_rounds,
    regrow,
    regrown_share,
    scores,
    sparsities,
)
from search.compression.training import Recipe, Training, error
from search.datasets.data import ImageData
from tests.search.compression.builders import SHORT, convolutional, loss_on, perceptron, tiny_network, trained


def test_magnitude_compares_all_layers_or_each_with_itself() -> None:
    found = {"a": torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "b": torch.tensor([[5.0, 6.0, 7.0, 8.0]])}
    assert sparsities(choose(found, 0.5)) == {"a": 1.0, "b": 0.0}
    assert sparsities(choose(found, 0.5, scope="layer")) == {"a": 0.5, "b": 0.5}
    assert sparsities(choose(found, {"a": 0.25, "b": 0.75})) == {"a": 0.25, "b": 0.75}
    assert choose(found, 0.5, scope="layer")["a"].tolist() == [[False, False, True, True]]
    with pytest.raises(ValueError, match="no share"):
        choose(found, 1.0)


def test_the_gradient_criterion_is_what_the_loss_changes_by_at_first_order(digits: ImageData) -> None:
    model = trained(convolutional(), digits).double()
    layer, score = weighted(model)["3"], scores(model, "gradient", loss=lambda m: loss_in_double(m, digits))["3"]
    place, tiny = int(score.argmax()), 1e-4
    with torch.no_grad():
        before = loss_in_double(model, digits)
        layer.weight.view(-1)[place] *= 1 - tiny
        after = loss_in_double(model, digits)
    assert abs(after - before) / tiny == pytest.approx(score.view(-1)[place].item(), rel=0.01)


def loss_in_double(model: nn.Module, digits: ImageData) -> torch.Tensor:
    x, y = torch.tensor(digits.x_train[:50]).double() / 255, torch.tensor(digits.y_train[:50])
    return nn.functional.cross_entropy(model(x), y)


def test_the_activation_criterion_weighs_by_what_each_weight_reads(digits: ImageData) -> None:
    model = convolutional().eval()
    found = scores(model, "activation", loss=loss_on(digits))["3"]
    with torch.no_grad():
        read = model[:3](torch.tensor(digits.x_train[:100]).float() / 255)  # type: ignore[index]
    norm_C = read.square().sum((0, 2, 3)).sqrt()
    weight = weighted(model)["3"].weight.detach()
    for output in range(12):  # 4 groups of 3 outputs that read 2 channels each
        first = output // 3 * 2
        expected = weight[output].abs() * norm_C[first : first + 2, None, None]
        torch.testing.assert_close(found[output], expected)


@pytest.mark.parametrize("criterion", ["magnitude", "gradient", "activation", "random"])
def test_every_criterion_takes_a_network_of_ours_and_gives_the_same_again(
    criterion: Criterion, digits: ImageData
) -> None:
    network = tiny_network().eval()
    loss = loss_on(digits, 30)
    first, again = (scores(network, criterion, loss=loss, seed=3) for _ in range(2))
    assert first.keys() == weighted(network).keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert density(choose(first, 0.7)) == pytest.approx(0.3, abs=0.001)


def test_a_criterion_that_looks_at_pictures_asks_for_them() -> None:
    with pytest.raises(ValueError, match="'gradient' looks at pictures"):
        scores(perceptron(8), "gradient")


def test_rounds_take_equal_shares_of_the_rest_and_never_give_back(digits: ImageData) -> None:
    assert in_rounds(0.488, 3) == pytest.approx([0.2, 0.36, 0.488])
    model, seen = trained(perceptron(16), digits), list[Masks]()

    def retrain(masks: Masks) -> None:
        seen.append(masks)
        Training(model, data=digits, recipe=Recipe(epochs=1, batch_size=32), seed=1, masks=masks).run()

    last = prune_in_rounds(model, 0.9, rounds=3, retrain=retrain, score=lambda: scores(model))
    for before, after in pairwise(seen):
        assert all(bool((before[name] | ~after[name]).all()) for name in before)
    assert density(last) == pytest.approx(0.1, abs=0.001)
    assert all(bool((layer.weight[~last[name]] == 0).all()) for name, layer in weighted(model).items())


def test_magnitude_beats_random_pruning(digits: ImageData) -> None:
    def pruned(criterion: Criterion) -> float:
        model = trained(perceptron(64), digits)
        apply_masks(model, choose(scores(model, criterion), 0.7))
        return error(model, digits)

    assert pruned("magnitude") < pruned("random") - 0.1


def test_regrowth_moves_connections_to_where_the_loss_pulls_and_keeps_their_number(digits: ImageData) -> None:
    model = trained(perceptron(16), digits)
    loss: Callable[[nn.Module], torch.Tensor] = loss_on(digits)
    masks = choose(scores(model, "random"), 0.8, scope="layer")
    apply_masks(model, masks)
    before = {name: layer.weight.detach().clone() for name, layer in weighted(model).items()}
    gradients = torch.autograd.grad(loss(model), [layer.weight for layer in weighted(model).values()])
    found = regrow(model, masks, 0.3, loss)
    for (name, layer), gradient in zip(weighted(model).items(), gradients, strict=True):
        assert found[name].sum() == masks[name].sum()
        new, gone = found[name] & ~masks[name], masks[name] & ~found[name]
        assert new.any()
        assert bool((layer.weight[new] == 0).all())
        assert gradient.abs()[new].min() >= gradient.abs()[~found[name]].max()
        assert before[name].abs()[gone].max() <= before[name].abs()[masks[name] & found[name]].median()
    assert [round(regrown_share(step, 10), 3) for step in (0, 5, 10)] == [0.3, 0.15, 0.0]


def test_training_goes_on_bit_for_bit_and_keeps_zeros(digits: ImageData) -> None:
    masks = choose(scores(perceptron(16)), 0.5)
    whole = Training(perceptron(16), data=digits, recipe=SHORT, seed=2, masks=masks)
    first = Training(perceptron(16), data=digits, recipe=SHORT, seed=2, masks=masks)
    second = Training(perceptron(16, seed=1), data=digits, recipe=SHORT, seed=2, masks=masks)
    first.run(until=7)
    second.load_state_dict(first.state_dict())
    whole.run()
    second.run()
    ours, theirs = whole.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(bool((layer.weight[~masks[n]] == 0).all()) for n, layer in weighted(whole.model).items())
