"""Weights of a supernet as a file, and a supernet that starts from them.

Theta is not among them: what a search learnt of its choices is in its evidence.

Errors:
    PretrainedMisfit (ValueError)   weights of another space; names the first that does not fit
"""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from search.supernet.network import Supernet


class PretrainedMisfit(ValueError):
    """The weights are those of another space."""


def save_pretrained(supernet: Supernet, path: Path) -> None:
    """Writes weights and statistics as safetensors."""
    state = {name: value.contiguous() for name, value in supernet.state_dict().items() if not _is_of_theta(name)}
    safetensors.torch.save_file(state, path, metadata={"space": supernet.space.model_dump_json()})


def read_pretrained(path: Path) -> dict[str, Tensor]:
    """The tensors that `save_pretrained` wrote. Raises PretrainedMisfit on what is no such file."""
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise PretrainedMisfit(f"{path}: no safetensors file ({error})") from None


def load_pretrained(supernet: Supernet, weights: Mapping[str, Tensor]) -> None:
    """Starts `supernet` from `weights`. Every weight has to be there in its shape, but those of the head: what does not
    fit there, as for other classes or another task, starts anew. What rounding remembers is taken where it is there: a
    search in float may precede one of bits. Which weights zeros keep follows from the weights. Raises PretrainedMisfit
    and then leaves the supernet as it was.
    """
    own, taken = supernet.state_dict(), dict[str, Tensor]()
    needed = {name for name, _ in supernet.named_parameters() if not name.startswith("head.")}
    for name, value in own.items():
        if _is_of_theta(name) or name.endswith(("_levels", "_mask")):
            continue
        given = weights.get(name)
        if given is not None and given.shape == value.shape:
            taken[name] = given
        elif name in needed:
            found = "is missing" if given is None else f"is {tuple(given.shape)}"
            raise PretrainedMisfit(
                f"{name}: {supernet.space.name} needs {tuple(value.shape)}, among the pretrained weights it {found}: "
                "take weights of a search of the same stem, stages, widest candidates and supernet form"
            )
    supernet.load_state_dict({**own, **taken})
    supernet.choose_survivors()


def _is_of_theta(name: str) -> bool:
    return name.startswith("theta.")
