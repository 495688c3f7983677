"""Which weights stay when a share of them goes: by a criterion, in a scope, at once or in rounds; and which come back.

The words are those of Hoefler 2021 (sec. 3 to 5): criterion, scope, schedule, regrowth. A mask is true where a weight
stays. Within N:M or row by row, as our blocks ship them, see search.sparsity.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from search.compression.layers import Loss, Weighted, inputs_seen, weighted
from search.compression.plain import plain
from search.randomness import generator

Criterion = Literal["magnitude", "gradient", "activation", "random"]
Scope = Literal["layer", "global"]
Scores = dict[str, Tensor]
Masks = dict[str, Tensor]


def scores(model: nn.Module, criterion: Criterion = "magnitude", *, loss: Loss | None = None, seed: int = 0) -> Scores:
    """What each weight is worth, by layer, in the weight's shape. Every criterion but `magnitude` and `random` needs
    pictures: raises ValueError where there is no `loss`.

    magnitude:   |w| (Han 2015)
    gradient:    |w dL/dw|, the first-order change of the loss (Molchanov 2016; Lee 2018)
    activation:  |w| ||x||, x being what the weight reads over all pictures (Sun 2023, eq. 1)
    random:      even draws, the control that every criterion has to beat
    """
    layers = weighted(model)
    match criterion:
        case "magnitude":
            return {name: layer.weight.detach().abs() for name, layer in layers.items()}
        case "random":
            return {
                name: torch.rand(layer.weight.shape, generator=generator(seed, f"random score {name}"))
                for name, layer in layers.items()
            }
        case "gradient" | "activation":
            if loss is None:
                raise ValueError(f"criterion {criterion!r} looks at pictures: pass `loss`")
            by_pictures = _by_gradient if criterion == "gradient" else _by_activation
            return by_pictures(plain(model), loss)


def _by_gradient(model: nn.Module, loss: Loss) -> Scores:
    weights = {name: layer.weight for name, layer in weighted(model).items()}
    gradients = torch.autograd.grad(loss(model), list(weights.values()))
    return {name: (w.detach() * g).abs() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def _by_activation(model: nn.Module, loss: Loss) -> Scores:
    layers, found = weighted(model), Scores()

    def see(name: str, read: Tensor) -> None:
        channels = read.transpose(0, 1).flatten(1).norm(dim=1)
        found[name] = layers[name].weight.detach().abs() * _as_read(layers[name], channels)

    with torch.no_grad(), inputs_seen(model, see):
        loss(model)
    return found


def _as_read(layer: Weighted, channels_C: Tensor) -> Tensor:
    """A figure of each input channel beside the weights that read it."""
    if isinstance(layer, nn.Linear):
        return channels_C
    outputs, columns = layer.weight.shape[:2]
    per_group = channels_C.view(layer.groups, columns)
    return per_group.repeat_interleave(outputs // layer.groups, 0)[:, :, None, None]


def choose(
    scores: Scores, sparsity: float | Mapping[str, float], *, scope: Scope = "global", among: Masks | None = None
) -> Masks:
    """Masks that keep the best-scored. `sparsity` is the share that goes: of every layer, of all of them together
    (`global`), or of each by name (then `scope` plays no part). What `among` has masked stays masked. Ties keep the
    first.
    """
    if among is not None:
        scores = {name: score.masked_fill(~among[name], -math.inf) for name, score in scores.items()}
    if isinstance(sparsity, Mapping):
        return {name: _greatest(score, sparsity[name]) for name, score in scores.items()}
    if scope == "layer":
        return {name: _greatest(score, sparsity) for name, score in scores.items()}
    flat = _greatest(torch.cat([score.flatten() for score in scores.values()]), sparsity)
    parts = torch.split(flat, [score.numel() for score in scores.values()])
    return {name: part.view_as(score) for (name, score), part in zip(scores.items(), parts, strict=True)}


def _greatest(score: Tensor, sparsity: float) -> Tensor:
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity: {sparsity} is no share from 0 to below 1")
    return _first(score, round((1 - sparsity) * score.numel())) & score.isfinite()


def _first(score: Tensor, count: int) -> Tensor:
    mask = torch.zeros(score.numel(), dtype=torch.bool)
    mask[score.flatten().argsort(descending=True, stable=True)[:count]] = True
    return mask.view_as(score)


def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Sets masked weights to 0. Called after each step of an optimiser it keeps them there, whatever momentum says."""
    with torch.no_grad():
        for name, layer in weighted(model).items():
            layer.weight.mul_(masks[name])


def density(masks: Masks) -> float:
    """The share of weights that stay."""
    return sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())


def sparsities(masks: Masks) -> dict[str, float]:
    """The share of zeros of each layer: what a search may take as a proposal."""
    return {name: 1 - density({name: mask}) for name, mask in masks.items()}


def in_rounds(sparsity: float, rounds: int) -> list[float]:
    """The sparsity after each round, where every round takes the same share of what is left: 1 - (1 - s)^(r / R)."""
    return [1 - (1 - sparsity) ** (number / rounds) for number in range(1, rounds + 1)]


def prune_in_rounds(
    model: nn.Module,
    sparsity: float,
    *,
    rounds: int,
    retrain: Callable[[Masks], None],
    score: Callable[[], Scores],
    scope: Scope = "global",
) -> Masks:
    """Prunes `model` a little, lets `retrain` train what is left, and so on (Han 2015); with one round it is one-shot
    pruning and fine-tuning. `score` gives the scores of that moment. Returns the last masks.
    """
    masks: Masks | None = None
    for wanted in in_rounds(sparsity, rounds):
        masks = choose(score(), wanted, scope=scope, among=masks)
        apply_masks(model, masks)
        retrain(masks)
    assert masks is not None, "rounds is at least 1"
    return masks


def regrown_share(step: int, steps: int, first: float = 0.3) -> float:
    """The share of a layer's connections that move in `step`: first / 2 (1 + cos(pi t / T)) (Evci 2020, sec. 3)."""
    return first / 2 * (1 + math.cos(math.pi * step / steps))


def regrow(model: nn.Module, masks: Masks, share: float, loss: Loss) -> Masks:
    """RigL (Evci 2020, alg. 1): in each layer the `share` of least magnitude goes, and as many come where the loss
    pulls most, beginning at 0. Sets the weights of `model`, and returns the masks.
    """
    layers = weighted(plain(model))
    gradients = torch.autograd.grad(loss(plain(model)), [layer.weight for layer in layers.values()])
    found = Masks()
    for (name, layer), gradient in zip(layers.items(), gradients, strict=True):
        mask = masks[name]
        alive, moved = int(mask.sum()), round(share * int(mask.sum()))
        left = _first(layer.weight.detach().abs().masked_fill(~mask, -math.inf), alive - moved)
        new = _first(gradient.abs().masked_fill(left, -math.inf), moved)
        found[name] = left | new
        with torch.no_grad():
            layer.weight.mul_(left)
    return found
