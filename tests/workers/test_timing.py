"""The worker times what it exported, beside what it is held against."""

from pathlib import Path

import pytest
import torch

from search.architecture import Architecture, LayerChoice
from search.export import onnx_model
from search.files import MODEL, MODEL_FLOAT
from search.network import Network
from search.report.card import NETWORK
from search.unrounded import at_full_width, in_floats
from tests.search.builders import mixed_space
from workers.timing import AT_FULL_WIDTH, IN_FLOAT, measured_here


def network(*names: str, precision: str) -> Network:
    space = mixed_space()
    torch.manual_seed(0)
    precisions = ["fp32" if name == "skip" else precision for name in names]  # identities round nothing
    layers = tuple(LayerChoice(candidate=c, precision=p) for c, p in zip(names, precisions, strict=True))
    return Network(Architecture(space=space, layers=layers)).eval()


def written(folder: Path, **networks: Network) -> list[Path]:
    names = {"searched": MODEL, "plain": MODEL_FLOAT}
    for name, one in networks.items():
        (folder / names[name]).write_bytes(onnx_model(one).SerializeToString())
    return [folder / names[name] for name in networks]


def test_a_rounded_network_stands_beside_itself_in_float_and_at_full_width(tmp_path: Path) -> None:
    one = network("k3_e1", "k5_e3", "k3_e1", "k5_e3", "k3_e1", precision="w8a8")
    files = written(tmp_path, searched=one, plain=Network(in_floats(one.architecture)).eval())
    rows = measured_here(one, files, tmp_path, threads=1)
    assert [row.what for row in rows] == [NETWORK, IN_FLOAT, AT_FULL_WIDTH]
    assert all(row.latency_us > 0 for row in rows)
    assert len({row.where for row in rows}) == 1


def test_nothing_is_timed_where_no_onnx_file_was_made(tmp_path: Path) -> None:
    one = network("k3_e1", "k5_e3", "k3_e1", "k5_e3", "k3_e1", precision="w8a8")
    assert measured_here(one, [], tmp_path, threads=1) == ()


@pytest.mark.parametrize("precision", ["fp32", "w8a8"])
def test_full_width_keeps_kernels_and_skips_and_takes_every_channel(precision: str) -> None:
    given = network("k3_e1", "skip", "k3_e1", "k5_e3", "skip", precision=precision).architecture
    wide = at_full_width(given)
    assert [c.candidate.kernel for c in wide.choices] == [c.candidate.kernel for c in given.choices]
    for layer, choice in zip(wide.space.layers, wide.choices, strict=True):
        same = [block.c_mid for block in layer.blocks if block.candidate.kernel == choice.candidate.kernel]
        assert choice.c_mid == max(same)
    assert {choice.precision for choice in wide.layers} == {"fp32"}
