"""Tables from published throughput."""

import pytest

from latency.operator import BASE, Operator
from latency.published import MPIC, UnpublishedPrecision, published_table
from search.choices import Choices
from search.costs import macs
from search.space import preset


def block(weight_bits: int, activation_bits: int) -> Operator:
    return Operator("mbconv", 14, 14, 16, 48, 16, 1, 3, 1, weight_bits, activation_bits)


def test_a_latency_is_macs_over_the_rate_of_the_bits_over_the_clock() -> None:
    """Multiply-adds by hand: 14 14 (16 48 + 9 48 + 48 16) = 385,728; MPIC does 3.5 a cycle at 4 bits each."""
    operator = block(4, 4)
    table = published_table(MPIC, {operator: macs(operator)}, clock_mhz=100.0)
    assert table.latency_us(operator) == pytest.approx(385_728 / 3.5 / 100.0)
    assert table.latency_us(BASE) == 0.0


def test_weights_and_activations_are_not_mixed_up() -> None:
    operators = [block(8, 2), block(2, 8)]
    table = published_table(MPIC, dict.fromkeys(operators, 22_000), clock_mhz=1.0)
    assert [table.latency_us(o) for o in operators] == pytest.approx([22_000 / 2.2, 22_000 / 2.5])


def test_a_table_covers_a_space_and_says_that_nobody_measured_it() -> None:
    choices = Choices(precision=("w8a8", "w4a8", "w4a4", "w2a2"), width=(1.0, 0.5), ends="w8a8")
    space = preset("fbnet-mini").offering(choices)
    table = published_table(MPIC, {o: macs(o) for o in space.operators()}, clock_mhz=100.0)
    assert table.missing(space.operators()) == []
    assert {entry.provenance for entry in table.entries.values()} == {"published"}
    assert table.info.note == "Ottavi 2020, arXiv:2010.04073; at 100 MHz"


def test_bits_without_a_figure_are_refused_with_what_there_is() -> None:
    with pytest.raises(UnpublishedPrecision, match=r"w8a8, w4a8, .* not for mbconv .* and 1 more") as caught:
        published_table(MPIC, {block(32, 32): 5, block(4, 4): 5, block(3, 3): 5}, clock_mhz=100.0)
    assert caught.value.operators == (block(32, 32), block(3, 3))


def test_a_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(ValueError, match="clock_mhz: 0 is not above 0"):
        published_table(MPIC, {}, clock_mhz=0)
