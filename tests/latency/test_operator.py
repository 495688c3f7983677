import pytest

from latency.operator import BASE, Operator, OperatorError


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "conv"}, "kind"),
        ({"kind": "mbconv", "h": 14}, "w"),
        ({"kind": "stem", "h": -1}, "h"),
        ({"kind": "base", "weight_bits": 0}, "weight_bits"),
        ({"kind": "base", "activation_bits": 33}, "activation_bits"),
        ({"kind": "base", "sparsity": 1.0}, "sparsity"),
        ({"kind": "base", "sparsity": float("nan")}, "sparsity"),
        ({"kind": "base", "pattern": "3:4"}, "pattern"),
    ],
)
def test_an_operator_that_cannot_be_names_the_field(fields: dict, wrong: str) -> None:
    with pytest.raises(OperatorError) as caught:
        Operator(**fields)
    assert caught.value.field == wrong


def test_groups_must_divide_all_channels() -> None:
    with pytest.raises(OperatorError, match="groups: 2 does not divide the channels 16, 16, 15"):
        Operator("mbconv", 14, 14, 16, 16, 15, 1, 3, 2)


def test_equal_operators_are_one_key_and_precision_makes_another() -> None:
    one, same = (Operator("mbconv", 14, 14, 16, 48, 24, 1, 3, 1) for _ in range(2))
    quantised = Operator("mbconv", 14, 14, 16, 48, 24, 1, 3, 1, weight_bits=8, activation_bits=8)
    assert len({one, same, quantised}) == 2
    assert one.key == "mbconv 14x14 16-48-24 s1 k3"
    assert quantised.key == "mbconv 14x14 16-48-24 s1 k3 w8a8"
    assert BASE.key == "base"


@pytest.mark.parametrize(("size", "stride", "out"), [(28, 1, 28), (28, 2, 14), (7, 2, 4), (1, 2, 1)])
def test_output_size_is_the_input_over_the_stride_rounded_up(size: int, stride: int, out: int) -> None:
    assert Operator("skip", size, size, 8, 0, 16, stride).out_hw == (out, out)
