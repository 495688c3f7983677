"""A trained network comes back from what was downloaded, or the error says what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import search
from search.loading import NotLoadable
from search.network import Network, save_weights
from tests.search.test_export import SEEDS, digits, joint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a download leaves."""
    network = joint(SEEDS[0])
    save_weights(network, tmp_path / "weights.safetensors")
    (tmp_path / "architecture.json").write_text(network.architecture.model_dump_json(indent=2))
    return tmp_path


@pytest.mark.parametrize("name", ["", "weights.safetensors", "architecture.json"])
def test_the_network_comes_back_from_the_folder_or_either_file(folder: Path, name: str) -> None:
    loaded, network = search.load(folder / name), joint(SEEDS[0])
    assert isinstance(loaded, nn.Module)
    assert not loaded.training
    assert loaded.state_dict().keys() == network.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(loaded(digits()), network(digits()))


def test_the_weights_load_under_any_name_and_as_text(folder: Path) -> None:
    (folder / "weights.safetensors").rename(folder / "best.safetensors")
    assert isinstance(search.load(str(folder / "best.safetensors")), Network)


@pytest.mark.parametrize("name", ["", "architecture.json"])
def test_an_architecture_alone_is_refused_with_what_to_do(folder: Path, name: str) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"weights.safetensors is not there, .* `lutnas architectures download"):
        search.load(folder / name)


@pytest.mark.parametrize("name", ["elsewhere", "weights.bin", "other.json"])
def test_a_path_that_is_not_there_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(NotLoadable, match=f"{name} is not there"):
        search.load(folder / name)


def test_files_of_two_networks_are_refused(folder: Path) -> None:
    (folder / "architecture.json").write_text(joint(SEEDS[1]).architecture.model_dump_json())
    with pytest.raises(NotLoadable, match="are of different networks: download both of one architecture"):
        search.load(folder)


def test_without_torch_the_error_says_what_to_install(folder: Path) -> None:
    program = f"import sys; sys.modules['torch'] = None\nimport search\nsearch.load({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "search.load needs torch: pip install 'lutnas[library]'" in done.stderr


def test_a_damaged_file_is_refused(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x80\x04\x95 a pickle"):
        weights.write_bytes(content)
        with pytest.raises(NotLoadable, match="is damaged, or no safetensors file"):
            search.load(weights)


def test_safetensors_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(NotLoadable, match="holds weights but no architecture; was it written by lutnas"):
        search.load(tmp_path)


def test_a_state_of_another_version_is_refused(folder: Path) -> None:
    network = joint(SEEDS[0])
    state = {name.replace("expand_bn", "norm"): value for name, value in network.state_dict().items()}
    metadata = {"architecture": network.architecture.model_dump_json()}
    safetensors.torch.save_file(state, folder / "weights.safetensors", metadata=metadata)
    with pytest.raises(NotLoadable, match=r"written by another version of lutnas, .*expand_bn"):
        search.load(folder)


def test_an_architecture_of_another_version_is_refused(folder: Path) -> None:
    state, document = joint(SEEDS[0]).state_dict(), json.loads((folder / "architecture.json").read_text())
    document["layers"][0]["dilation"] = 2
    (folder / "architecture.json").write_text(json.dumps(document))
    with pytest.raises(NotLoadable, match=r"architecture.json: holds no architecture .*dilation: "):
        search.load(folder)
    metadata = {"architecture": json.dumps(document)}
    safetensors.torch.save_file(state, folder / "weights.safetensors", metadata=metadata)
    with pytest.raises(NotLoadable, match=r"weights.safetensors: holds no architecture .*dilation: "):
        search.load(folder / "weights.safetensors")
