"""The rows of `seeds`: what holds, and that those which take no training do."""

import pytest

from benchmarks._lenet import lenet
from benchmarks._seed_rows import Row, closed_forms
from benchmarks._seed_trainings import EPOCHS_OF, SHARE, Trainings, shares
from search.compression.layers import weighted


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (Row("both", 1.0, 1.05, 0.1), True),
        (Row("both", 1.0, 0.85, 0.1), False),
        (Row("least", 2.0, 5.0, 0.0, "least"), True),
        (Row("least", 2.0, 1.9, 0.0, "least"), False),
        (Row("most", 2.5, -1.0, 0.0, "most"), True),
        (Row("most", 2.5, 2.6, 0.0, "most"), False),
    ],
)
def test_a_row_holds_on_the_side_that_it_names(row: Row, holds: bool) -> None:
    assert row.holds is holds
    assert row.figures()["holds"] is holds


def test_closed_forms_come_out() -> None:
    assert all(row.holds for row in closed_forms())


def test_every_part_that_trains_is_there_and_has_its_epochs() -> None:
    assert all(callable(getattr(Trainings, part)) for part in EPOCHS_OF)


def test_the_shares_of_zeros_make_98_percent_of_all_weights_and_spare_the_output() -> None:
    model = lenet(0)
    sizes = {name: layer.weight.numel() for name, layer in weighted(model).items()}
    found = shares(model)
    assert found["5"] == 0
    assert found["1"] == found["3"]
    assert sum(found[name] * size for name, size in sizes.items()) == pytest.approx(SHARE * sum(sizes.values()))
