"""What a training step of the supernet costs, against one of the largest and of the middle single path.

All are timed in one run, one thread, CPU time, interleaved; each figure is a ratio of medians. Optimiser included.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks._reporting import parser, say, show
from search.architecture import Architecture
from search.machine import use_threads
from search.network import Network
from search.randomness import generator
from search.space import Space, preset
from search.supernet import Supernet, gumbel_softmax

Step = Callable[[], None]


def training_step(
    network: nn.Module, forward: Callable[[torch.Tensor], torch.Tensor], space: Space, batch: int
) -> Step:
    """One step of `network` on random pictures: forward, backward, SGD."""
    shape = (batch, space.input.channels, space.input.height, space.input.width)
    x_NCHW = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    y_N = torch.randint(space.classes, (batch,))
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stub forgets it
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(forward(x_NCHW), y_N).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def supernet_step(space: Space, form: str, batch: int) -> Step:
    """A step of the supernet under soft samples at temperature 1; theta gets a gradient too."""
    supernet, noise = Supernet(space, form), generator(0, "gumbel")
    return training_step(supernet, lambda x: supernet(x, gumbel_softmax(supernet.theta_LK, 1.0, noise)), space, batch)


def path_step(space: Space, candidate: str, batch: int) -> Step:
    """A step of the network that takes `candidate` everywhere."""
    network = Network(Architecture.of(space, [candidate] * len(space.layers)))
    return training_step(network, network, space, batch)


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--space", default="fbnet-cifar")
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    use_threads(1)
    torch.manual_seed(0)
    space = preset(given.space)
    steps = {
        "largest": path_step(space, "k5_e6", given.batch),
        "middle": path_step(space, "k3_e3", given.batch),
        "shared": supernet_step(space, "shared", given.batch),
        "reference": supernet_step(space, "reference", given.batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(given.rounds + 1):  # the first warms up
        for name, step in steps.items():
            begin = time.thread_time()
            step()
            if number:
                seconds[name].append(time.thread_time() - begin)
        say(f"round {number} of {given.rounds}")
    median = {name: statistics.median(values) for name, values in seconds.items()}
    figures = {
        "space": space.name,
        "batch": given.batch,
        "largest_path_seconds": round(median["largest"], 3),
        "shared_over_largest": round(median["shared"] / median["largest"], 2),
        "reference_over_largest": round(median["reference"] / median["largest"], 2),
        "shared_over_middle": round(median["shared"] / median["middle"], 2),
        "reference_over_middle": round(median["reference"] / median["middle"], 2),
    }
    show(figures, as_json=given.json)


if __name__ == "__main__":
    main()
