"""With which weights a training of the result begins, and a trial of it too."""

from collections.abc import Callable

from search.architecture import Architecture
from search.network import Network
from search.spec import Finish
from search.task import Task


def network_to_train(
    settings: Finish, architecture: Architecture, inherit: Callable[[], Network], *, seed: int, task: Task
) -> Network:
    """`inherit`s, or has new weights of `seed`, as `settings.weights` says."""
    return inherit() if settings.weights == "inherited" else Network.new(architecture, seed, task.head)
