"""Public layouts become tables of ours, row by row; what has no place is counted, what is no latency is refused."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from latency.imports import LayoutError, read_layout
from latency.operator import BASE, Operator
from latency.table import Entry, LatencyTable, TableInfo
from search.space import Space, preset

INFO = TableInfo(device="d", runtime="r", threads=1, batch=1)
MBCONV = "expanded_conv-input:112x112x16-output:56x56x24-expand:{}-kernel:3-stride:2-idskip:0"


def layers_of(space: Space) -> list[Mapping[str, Operator]]:
    return [{c.candidate.name: layer.operator(c) for c in layer.choices} for layer in space.layers]


def read(layout: str, document: Any, unit: Any = "ms", **more: Any) -> tuple[dict[Operator, Entry], dict[str, int]]:
    text = document if isinstance(document, str) else json.dumps(document)
    found = read_layout(layout, text, INFO, unit=unit, **more)
    return dict(found.table.entries), found.left_out


def test_positions_become_operators_and_equal_operators_their_mean_and_spread() -> None:
    space = preset("fbnet-cifar")
    rows: list[Any] = [None]
    for layer in layers_of(space):
        rows.append([100.0 + len(rows) + place for place in range(9 if layer["skip"].is_identity else 8)])
    entries, left_out = read("fbnet-positional", [*rows, None], "us", layers=layers_of(space))
    first = layers_of(space)[0]
    assert entries[first["k5_e6"]] == Entry(108.0, provenance="published")
    same = [n for n, layer in enumerate(layers_of(space)) if layer["k3_e6"] == layers_of(space)[2]["k3_e6"]]
    values = [104.0 + n for n in same]
    assert len(values) > 1
    assert entries[layers_of(space)[2]["k3_e6"]] == Entry(
        sum(values) / len(values), values[0], values[-1], len(values), "published"
    )
    assert left_out == {}


@pytest.mark.skipif("LUTNAS_REAL_TABLES" not in os.environ, reason="LUTNAS_REAL_TABLES names no folder of real tables")
def test_a_real_positional_table_lacks_only_what_it_has_no_value_for() -> None:
    space = preset("fbnet-cifar")
    text = (Path(os.environ["LUTNAS_REAL_TABLES"]) / "luts" / "fbnet_pi4_positional_us.json").read_text()
    found = read_layout("fbnet-positional", text, INFO, unit="us", layers=layers_of(space))
    missing = found.table.missing(space.operators())
    assert {operator.kind for operator in missing} == {"base", "stem", "head", "skip"}
    assert found.table.latency_us(layers_of(space)[0]["k3_e1"]) == pytest.approx(10430.441020034777)


def test_hw_nas_bench_keys_become_a_table_that_covers_fbnet_but_for_the_call() -> None:
    space, document = preset("fbnet"), dict[str, float]()
    size, c_in = space.input.height, space.stem.channels
    document[f"ConvNorm_H{size}_W{size}_Cin3_Cout{c_in}_kernel3_stride2_group1"] = 7.0
    for number, layer in enumerate(space.layers):
        shape = f"H{layer.h}_W{layer.w}_Cin{layer.c_in}_Cout{layer.c_out}"
        for candidate in (choice.candidate for choice in layer.choices):
            kernel, expansion, groups = candidate
            block = f"ConvBlock_{shape}_exp{expansion}_kernel{kernel}_stride{layer.stride}_group{groups}"
            document[block if kernel else f"Skip_{shape}_stride{layer.stride}"] = 1.0 + number
    head = space.head_operator
    document[f"ConvNorm_H{head.h}_W{head.w}_Cin{head.c_in}_Cout{head.c_mid}_kernel1_stride1_group1"] = 3.0
    document[f"AvgP_H{head.h}_W{head.w}_Cin{head.c_mid}_Cout{head.c_mid}_kernel{head.h}_stride1"] = 0.5
    document |= {f"FC_Cin{head.c_mid}_Cout{head.c_out}": 0.25, "Sub_H1_W1": 9.0}
    entries, left_out = read("hw-nas-bench", document)
    table = LatencyTable(INFO, entries)
    assert table.missing(space.operators()) == [BASE]
    assert table.latency_us(head) == 3750.0
    assert table.latency_us(space.stem_operator) == 7000.0
    assert table.latency_us(space.layers[2].operator(space.layers[2].choices[0])) >= 3000.0
    assert left_out == {"Sub: no operator of a table": 1}


def test_hw_nas_bench_as_a_whole_is_refused_by_what_to_save() -> None:
    with pytest.raises(LayoutError, match=r"fbnet: .* is no latency: save the mapping of one device"):
        read("hw-nas-bench", {"fbnet": {"pixel3_latency": {}}})


def test_proxyless_keys_become_blocks_stem_and_head() -> None:
    document = {
        "Conv-input:224x224x3-output:112x112x32": {"mean": 2.0, "count": 9},
        MBCONV.format(6): {"mean": 1.5, "std": 0.1},
        MBCONV.format(96): {"mean": 2.5},  # the same block by its middle channels
        "expanded_conv-input:56x56x24-output:56x56x24-expand:3-kernel:5-stride:1-idskip:1": 0.75,
        "expanded_conv-input:56x56x24-output:56x56x24-expand:3-kernel:5-stride:1-idskip:0": 0.7,
        "expanded_conv-input:7x7x160-output:7x7x160-expand:960-kernel:5-stride:1-idskip:1-se:1-hs:1": 0.7,
        "Conv_1-input:7x7x320-output:7x7x1280": {"mean": 0.25},
        "Logits-input:7x7x1280-output:1000": {"mean": 0.5},
        "AvgPool2D-input:7x7x1280-output:1280": {"mean": 0.1},
    }
    entries, left_out = read("proxyless", document)
    assert entries == {
        Operator("stem", 224, 224, 3, 0, 32, 2, 3): Entry(2000.0, provenance="published"),
        Operator("mbconv", 112, 112, 16, 96, 24, 2, 3, 1): Entry(2000.0, 1500.0, 2500.0, 2, "published"),
        Operator("mbconv", 56, 56, 24, 72, 24, 1, 5, 1): Entry(750.0, provenance="published"),
        Operator("head", 7, 7, 320, 1280, 1000): Entry(750.0, provenance="published"),
    }
    assert left_out == {
        "AvgPool2D: no operator of a table": 1,
        "expanded_conv with squeeze-and-excitation": 1,
        "expanded_conv that keeps its shape without a residual sum": 1,
    }


def test_a_head_is_made_of_what_fits_together_and_the_rest_is_counted() -> None:
    document = {
        "Conv_1-input:7x7x320-output:7x7x1280": 10,
        "Logits-input:7x7x1280-output:1000": 100,
        "Conv_1-input:7x7x160-output:7x7x960": 10,  # once-for-all pools here, and has a layer more
        "Logits-input:1x1x1280-output:1000": 100,
        MBCONV.format(6) + "-se:0-hs:1": 1.5,
    }
    entries, left_out = read("proxyless", document)
    assert entries == {Operator("head", 7, 7, 320, 1280, 1000): Entry(110_000.0, provenance="published")}
    assert left_out == {
        "Conv_1 whose output no Logits reads": 1,
        "Logits that read no output of a Conv_1": 1,
        "expanded_conv with h-swish": 1,
    }
    block = {"ConvBlock_H8_W8_Cin16_Cout16_exp1_kernel3_stride1_group1": 1}
    parts = {"ConvNorm_H7_W7_Cin64_Cout96_kernel1_stride1_group1": 3, "FC_Cin96_Cout10": 1}
    _, left_out = read("hw-nas-bench", {**block, **parts})
    assert left_out == {"1x1 ConvNorm without the others of a head": 1, "FC without the others of a head": 1}


def test_yaml_is_read_and_runs_nothing() -> None:
    entries, _ = read("proxyless", f"{MBCONV.format(3)}:\n  mean: 1.5\n")
    assert entries == {Operator("mbconv", 112, 112, 16, 48, 24, 2, 3, 1): Entry(1500.0, provenance="published")}
    with pytest.raises(LayoutError, match="neither JSON nor YAML"):
        read("proxyless", "!!python/object/apply:os.getcwd []")


def test_tf_nas_blocks_are_told_by_their_middle_channels() -> None:
    document = {
        "base": 3.0,
        "MBInvertedResBlock_56_24_0_40_k3_s2_relu": {"48": 0.5, "96": 0.75},
        "MBInvertedResBlock_56_24_24_40_k3_s2_relu": {"48": 0.6},
    }
    entries, left_out = read("tf-nas", document)
    assert entries == {
        BASE: Entry(3000.0, provenance="published"),
        Operator("mbconv", 56, 56, 24, 48, 40, 2, 3, 1): Entry(500.0, provenance="published"),
        Operator("mbconv", 56, 56, 24, 96, 40, 2, 3, 1): Entry(750.0, provenance="published"),
    }
    assert left_out == {"blocks with squeeze-and-excitation": 1}


def test_apq_convolutions_of_one_precision_add_up_to_blocks() -> None:
    def row(us: float) -> dict[str, float]:
        return {"latency": us, "energy": 1.0}

    document = {
        "head": row(10.0), "tail": row(5.0),
        "(16, 96, 112, 1, 1, 0, 1)-W8A8": row(1.0), "(96, 96, 112, 3, 2, 1, 96)-W8A8": row(2.0),
        "(96, 24, 56, 1, 1, 0, 1)-W8A8": row(4.0),
        "(16, 96, 112, 1, 1, 0, 1)-W4A4": row(0.5), "(96, 96, 112, 3, 2, 1, 96)-W4A4": row(1.0),
        "(8, 16, 75, 1, 1, 0, 1)-W8A8": row(1.0), "(16, 16, 75, 5, 2, 2, 16)-W8A8": row(1.0),
        "(16, 16, 38, 1, 1, 0, 1)-W8A8": row(1.0),
    }  # fmt: skip
    entries, left_out = read("apq", document, "us")
    assert left_out == {"depthwise convolution without both of its 1x1": 1}
    assert entries.pop(Operator("mbconv", 75, 75, 8, 16, 16, 2, 5, 1, 8, 8)).latency_us == 3.0
    assert entries == {
        BASE: Entry(15.0, provenance="simulated"),
        Operator("mbconv", 112, 112, 16, 96, 24, 2, 3, 1, 8, 8): Entry(7.0, provenance="simulated"),
    }


@pytest.mark.parametrize(
    ("layout", "document", "said"),
    [
        ("proxyless", [1], "no mapping of operators"),
        ("proxyless", {MBCONV.format(6): {"mean": "1.5 ms"}}, "'1.5 ms' is no latency"),
        ("proxyless", {MBCONV.format(6): -1.0}, "-1000.0 is no latency"),
        ("proxyless", {MBCONV.format(6).replace("stride:2", "stride:1"): 1.0}, "stride 1 does not lead to 56x56"),
        ("proxyless", {MBCONV.format(0): 1.0}, "c_mid: a mbconv needs it"),
        ("proxyless", {"Pool": 1.0}, "holds no operator"),
        ("tf-nas", {"X_56_24_0_40_k3_s2_relu": 3.0}, "no mapping of middle channels"),
        ("tf-nas", {"X_56_24_0_40_k3_s2_relu": {"many": 3.0}}, "X_56_24_0_40_k3_s2_relu.many"),
        ("apq", {"(1, 2)-W8A8": None}, "None is no latency"),
        ("fbnet-positional", [[1.0]], "the file has 1 layers with values, the space 0"),
        ("apq", {"(16, 96, 112, 1, 1, 0, 1)-W64A8": 1.0, "(1, 1, 8, 3, 0, 1, 1)-W8A8": 1.0}, "cannot be read as apq"),
        ("tf-nas", {"base": 10**400}, "cannot be read as tf-nas"),
        ("proxyless", "a: 2001-99-99", "month must be in"),
        ("nothing", {}, "none of the layouts apq, fbnet-positional"),
    ],
)
def test_what_is_not_of_the_layout_is_named(layout: str, document: Any, said: str) -> None:
    with pytest.raises(LayoutError, match=said.replace("(", r"\(")):
        read(layout, document)
