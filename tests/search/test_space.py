"""Spaces are data, and say what a device has to run for them."""

import itertools
import json

import pytest

from search.architecture import Architecture
from search.space import NINE_CANDIDATES, Input, SpaceError, parse, preset, preset_names
from tests.search.builders import tiny_space


@pytest.mark.parametrize(("name", "layers"), [("fbnet", 22), ("fbnet-cifar", 22), ("fbnet-mini", 7)])
def test_each_preset_has_its_layers_and_all_nine_candidates(name: str, layers: int) -> None:
    space = preset(name)
    assert len(space.layers) == layers
    assert all(tuple(c.name for c in layer.candidates) == NINE_CANDIDATES for layer in space.layers)
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
