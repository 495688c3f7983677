"""What takes a core for long is done for a few at once."""

import pytest

from api.turns import TooBusy, Turns


def test_who_comes_while_all_turns_are_taken_is_told_when_to_come_again() -> None:
    turns = Turns("derives", most=2, wait_seconds=0.0)
    with turns.taken():
        with turns.taken(), pytest.raises(TooBusy) as caught, turns.taken():
            raise AssertionError("a third turn was given")
        assert caught.value.as_problem()["retry_after_seconds"] == 10
        with pytest.raises(ValueError, match="broken"), turns.taken():
            raise ValueError("broken")
        with turns.taken():
            pass  # what failed gave its turn back
