"""State files hold trees of tensors without pickle."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from search import state


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {
        "step": 3,
        "rate": 0.1,
        "none": None,
        "deep": [{"a": torch.arange(3)}, "x"],
        "by_int": {0: torch.ones(2), 7: "y"},
    }
    state.save(tree, tmp_path / "state")
    back = state.load(tmp_path / "state")
    assert (back["step"], back["rate"], back["none"], back["deep"][1], back["by_int"][7]) == (3, 0.1, None, "x", "y")
    assert torch.equal(back["deep"][0]["a"], torch.arange(3))
    assert torch.equal(back["by_int"][0], torch.ones(2))


def test_a_copy_stays_as_it_was_when_its_tensors_go_on() -> None:
    weight = torch.ones(2)
    kept = state.copied({"weight": weight, "list": [weight, 3], "by number": {0: weight}})
    weight.add_(1)
    assert kept["weight"].tolist() == kept["list"][0].tolist() == kept["by number"][0].tolist() == [1.0, 1.0]
    assert kept["list"][1] == 3


def test_tensors_that_share_memory_are_kept_apart(tmp_path: Path) -> None:
    whole = torch.arange(6)
    state.save({"whole": whole, "part": whole[2:4]}, tmp_path / "state")
    assert state.load(tmp_path / "state")["part"].tolist() == [2, 3]


def test_an_optimizer_goes_on_from_its_saved_state(tmp_path: Path) -> None:
    def step(weight: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (weight**2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    one = torch.ones(3, requires_grad=True)
    first = torch.optim.Adam([one], 0.1)
    step(one, first)
    state.save({"weight": one.detach(), "optimizer": first.state_dict()}, tmp_path / "state")
    step(one, first)
    kept = state.load(tmp_path / "state")
    other = kept["weight"].requires_grad_()
    second = torch.optim.Adam([other], 0.1)
    second.load_state_dict(kept["optimizer"])
    step(other, second)
    assert torch.equal(one, other)


def test_other_files_and_other_things_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.ones(1)}, tmp_path / "foreign")
    (tmp_path / "text").write_text("hello")
    for name in ("foreign", "text"):
        with pytest.raises(state.StateError, match=name):
            state.load(tmp_path / name)
    with pytest.raises(TypeError, match="object"):
        state.save({"thing": object()}, tmp_path / "state")
