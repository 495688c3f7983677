"""The engine's tests run on one thread: their tensors are small, and threads of a busy machine wait for each other."""

import pytest

from search.datasets.data import ImageData
from search.machine import use_threads
from tests.search.builders import tiny_digits


def pytest_configure() -> None:
    """Before anything computes."""
    use_threads(1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Also after a test that took more."""
    use_threads(1)


@pytest.fixture(scope="session")
def digits() -> ImageData:
    """The first of the real digits."""
    return tiny_digits()
