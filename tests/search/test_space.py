"""Spaces are data, and say what a device has to run for them."""

import itertools
import json

import pytest
from pydantic import ValidationError

from search.architecture import Architecture
from search.choices import NINE_CANDIDATES, Candidate, Choices, Sparsity
from search.space import Input, SpaceError, parse, preset, preset_names
from tests.search.builders import tiny_space


@pytest.mark.parametrize(("name", "layers"), [("fbnet", 22), ("fbnet-cifar", 22), ("fbnet-mini", 7)])
def test_each_preset_has_its_layers_and_all_nine_candidates(name: str, layers: int) -> None:
    space = preset(name)
    assert len(space.layers) == layers
    assert all(tuple(b.candidate.name for b in layer.blocks) == NINE_CANDIDATES for layer in space.layers)
    assert space.size == 9**layers


def test_presets_are_found_by_name_and_a_wrong_name_lists_them() -> None:
    assert preset_names() == ["fbnet", "fbnet-cifar", "fbnet-mini"]
    with pytest.raises(SpaceError, match="fbnet, fbnet-cifar, fbnet-mini"):
        preset("fbnet-huge")


def test_fbnet_follows_table_1_of_the_paper() -> None:
    layers = preset("fbnet").layers
    assert [(layer.h, layer.c_in, layer.c_out, layer.stride) for layer in (layers[0], layers[1], layers[21])] == [
        (112, 16, 16, 1),
        (112, 16, 24, 2),
        (7, 184, 352, 1),
    ]


def test_operators_are_distinct_and_leave_the_free_identity_out() -> None:
    operators = list(preset("fbnet-mini").operators())
    assert len(operators) == len(set(operators))
    assert not [o for o in operators if o.kind == "skip" and o.keeps_shape]
    assert {"base", "stem", "head", "mbconv", "skip"} == {o.kind for o in operators}


def test_the_output_of_each_layer_is_the_input_of_the_next() -> None:
    for name in preset_names():
        operators = Architecture.of(preset(name), ["k5_e1_g2"] * len(preset(name).layers)).operators()
        for before, after in itertools.pairwise(operators):
            assert (*before.out_hw, before.c_out) == (after.h, after.w, after.c_in)


def test_a_space_takes_other_pictures_and_classes() -> None:
    space = preset("fbnet-mini").resized(name="mine", input=Input(channels=3, height=9, width=17), classes=5)
    assert (space.stem_operator.c_in, space.stem_operator.h, space.stem_operator.w) == (3, 9, 17)
    assert space.head_operator.c_out == 5


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"candidates": ["k3_e1", "k3_e1"]}, "split their probability"),
        ({"candidates": ["k4_e1"]}, "k4_e1"),
        ({"stages": [{"channels": 7, "layers": 1, "candidates": ["k3_e1_g2"]}]}, "groups"),
        ({"colour": "red"}, "colour"),
        ({"classes": 1}, "classes"),
        ({"stem": {"channels": 8, "kernel": 4, "stride": 4}}, r"stem\.kernel: .*4 is even: write 1, 3, 5 or 7"),
    ],
)
def test_a_document_that_is_no_space_is_refused_by_field(changes: dict[str, object], named: str) -> None:

    document = json.dumps({**tiny_space().model_dump(mode="json"), **changes})
    with pytest.raises(SpaceError, match=named):
        parse(document)


def test_an_architecture_outside_its_space_is_refused_by_layer() -> None:
    space = tiny_space()
    with pytest.raises(ValueError, match="2 choices for the 3 layers"):
        Architecture.of(space, ["skip", "skip"])
    with pytest.raises(ValueError, match=r"layers\[1\]: 'k7_e1'"):
        Architecture.of(space, ["skip", "k7_e1", "skip"])


def test_width_and_expansion_give_one_block_for_each_distinct_number_of_middle_channels() -> None:
    choices = Choices(width=(1, 0.75, 0.5))
    layer = preset("fbnet-mini").offering(choices).layers[0]
    ungrouped = [b for b in layer.blocks if b.candidate.kernel == 5 and b.candidate.groups == 1]
    assert sorted(b.c_mid for b in ungrouped) == [8, 16, 24, 32, 48, 72, 96]
    assert {b.c_mid: b.candidate.name for b in ungrouped}[72] == "k5_e6"
    assert len(set(map(layer.operator, layer.choices))) == len(layer.choices)


def test_a_choice_is_the_product_of_block_precision_and_sparsity_where_they_apply() -> None:
    choices = Choices(precision=("fp32", "w8a8"), sparsity=Sparsity(pattern="2:4", levels=(0, 0.5)))
    layers = preset("fbnet-mini").offering(choices).layers
    assert [len(layer.choices) for layer in layers[:2]] == [8 * 4 + 1, 8 * 4 + 2]
    assert layers[2].choices[-1].precision.name == "fp32"


def test_an_architecture_with_every_kind_of_choice_survives_its_document() -> None:
    choices = Choices(
        precision=("fp32", "w4a8"), width=(1, 0.5), sparsity=Sparsity(levels=(0, 0.8)), ends="w8a8"
    )  # fmt: skip
    space = preset("fbnet-mini").offering(choices)
    indices = [(7 * layer.number + 3) % len(layer.choices) for layer in space.layers]
    architecture = Architecture.from_indices(space, indices)
    again = Architecture.model_validate_json(architecture.model_dump_json())
    assert list(again.indices) == indices
    assert again.operators()[0].weight_bits == 8


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("precision", ["w9a8"]), ("precision", ["fp32", "fp32"]), ("width", [0]), ("ends", "int8"),
        ("sparsity", {"pattern": "2:4", "levels": [0.4]}), ("sparsity", {"pattern": "3:4"}),
        ("precision", [f"w{w}a{a}" for w in range(2, 9) for a in (4, 6, 8)]), ("width", [1 / n for n in range(1, 18)]),
        ("sparsity.levels", {"levels": [n / 17 for n in range(17)]}),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Choices.model_validate({field.partition(".")[0]: value})


def test_more_choices_than_can_be_laid_out_are_refused_before_they_are() -> None:
    many = [f"w{weights}a{acts}" for weights in range(2, 9) for acts in (4, 8)]
    wide = {"precision": many, "width": [n / 16 for n in range(1, 17)], "sparsity": {"levels": [0, 0.5]}}
    stages = [{"channels": 8 * n, "layers": 64} for n in range(1, 65)]
    # To lay out its eleven million takes minutes, which no test is given.
    with pytest.raises(ValidationError, match=r"4096 layers have up to .*, of which 40,000 are taken: offer fewer"):
        tiny_space(stages=stages, choices=wide)
    assert len(tiny_space(stages=stages).layers) == 4096


def test_a_stage_counts_with_its_own_candidates_and_its_one_width() -> None:
    """One layer of one width has one block, whatever widths the space offers."""
    choices = {"width": [n / 16 for n in range(1, 17)], "precision": ["fp32", "w8a8"], "sparsity": {"levels": [0, 0.5]}}
    layer = {"channels": 8, "layers": 1, "candidates": ["k3_e3"], "c_mid": 20}
    own = {"channels": 8, "layers": 30, "candidates": ["k3_e3"]}
    space = tiny_space(stages=[layer, own], choices=choices)
    most = [stage.most_choices((Candidate(3, 3, 1),), space.choices) for stage in space.stages]
    assert most == [len(space.layers[0].choices), 30 * 16 * 4]


def test_a_candidate_that_rounding_leaves_no_narrower_block_keeps_its_full_one() -> None:
    """Three quarters of 8 channels are 8 in eights: k3_e1 stays whole. k3_e6 has a narrower block, and is left out."""
    space = tiny_space(candidates=["k3_e1", "k3_e6"], choices={"width": [0.75]})
    assert [(block.candidate.name, block.c_mid) for block in space.layers[0].blocks] == [("k3_e1", 8), ("k3_e6", 32)]
    half = tiny_space(candidates=["k3_e6"], choices={"width": [0.5]})
    assert [block.c_mid for block in half.layers[0].blocks] == [24]
    alone = tiny_space(candidates=["k3_e1"], choices={"width": [0.75]})
    assert [[block.c_mid for block in layer.blocks] for layer in alone.layers] == [[8], [8], [8]]


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"layers": 2, "candidates": ["k3_e3"]}, "one layer of one candidate of its own alone"),
        ({"candidates": ["k3_e3", "skip"]}, "one layer of one candidate of its own alone"),
        ({}, "one layer of one candidate of its own alone"),
        ({"candidates": ["k3_e1_g2"]}, "k3_e1_g2 has one width alone"),
        ({"candidates": ["skip"]}, "skip has one width alone"),
        ({"candidates": ["k3_e1"]}, "k3_e1 of 8 channels has at most 8"),
    ],
)
def test_a_width_that_its_stage_cannot_have_is_refused(stage: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=rf"stages\[0\]\.c_mid: .*{told}"):
        tiny_space(stages=[{"channels": 8, "layers": 1, "c_mid": 20, **stage}])


def test_a_stage_of_one_width_has_it_whatever_widths_the_space_offers() -> None:
    stage = {"channels": 8, "layers": 1, "candidates": ["k3_e3"], "c_mid": 20}
    space = tiny_space(stages=[stage], choices=Choices(width=(1.0, 0.5)))
    assert [block.c_mid for block in space.layers[0].blocks] == [20]
