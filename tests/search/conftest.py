"""The engine's tests run on one thread: their tensors are small, and threads of a busy machine wait for each other."""

from search.machine import use_threads


def pytest_configure() -> None:
    """Before anything computes."""
    use_threads(1)
