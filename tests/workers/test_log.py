"""The log of an attempt: all that the process logs, bounded."""

import logging

from workers.log import AttemptLog

_logger = logging.getLogger("tests.workers")


def test_what_is_logged_while_it_is_entered_is_kept() -> None:
    _logger.warning("before")
    with AttemptLog(1000) as log:
        _logger.warning("step %d", 3)
    _logger.warning("after")
    assert log.text().endswith("WARNING tests.workers: step 3\n")
    assert (log.text().count("\n"), log.version) == (1, 1)


def test_the_end_of_a_long_log_is_kept_and_says_how_much_is_not() -> None:
    with AttemptLog(1000) as log:
        for number in range(100):
            _logger.warning("step %d", number)
    first, *rest = log.text().splitlines()
    assert first == f"({100 - len(rest)} earlier entries are not kept)"
    assert rest[-1].endswith("step 99")
    assert len("\n".join(rest)) <= 1000


def test_one_entry_that_is_too_long_keeps_its_end() -> None:
    with AttemptLog(1000) as log:
        _logger.warning("%s", "x" * 5000 + "end")
    assert len(log.text()) <= 1001
    assert log.text().endswith("xend\n")
