"""State on disk: trees of dicts, lists, numbers and tensors as one safetensors file. No pickle.

Errors:
    StateError (ValueError)   a file that is no such state
"""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

State = dict[str, Any]
TENSOR, ITEMS = "__tensor__", "__items__"


class StateError(ValueError):
    """A file that holds no state written by `save`."""


def save(state: State, path: Path) -> None:
    """Writes `state`; raises TypeError on anything but dicts, lists, tuples, numbers, texts, None and tensors."""
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_detach(state, tensors), allow_nan=True)
    safetensors.torch.save_file(tensors, path, metadata={"lutnas_state": tree})


def copied(state: State) -> State:
    """The same with tensors of its own: whoever keeps it in memory has what was, whatever the steps that follow do."""
    found: State = _copied(state)
    return found


def load(path: Path) -> State:
    """Reads what `save` wrote; tuples come back as lists. Raises StateError."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tree = (file.metadata() or {})["lutnas_state"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (KeyError, safetensors.SafetensorError) as error:
        raise StateError(f"{path}: is no state of lutnas ({error})") from error
    state: State = _attach(json.loads(tree), tensors)
    return state


def _detach(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous().clone()  # shared storage is refused by safetensors
        return {TENSOR: name}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _detach(item, tensors) for key, item in value.items()}
        return {ITEMS: [[key, _detach(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_detach(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be kept in a state file")


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _attach(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_attach(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        return tensors[value[TENSOR]]
    if ITEMS in value:
        return {key: _attach(item, tensors) for key, item in value[ITEMS]}
    return {key: _attach(item, tensors) for key, item in value.items()}
