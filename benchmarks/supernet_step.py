"""What a training step of the supernet costs, against the same step of the largest single path.

All are timed in one run, one thread, CPU time, interleaved, each round in another order; a ratio is the median over
rounds of two steps of one round. Groups, skip and optimiser are included; every architecture parameter gets a gradient.
The joint step searches width, precision and N:M sparsity too. `memory` is what a step saves for its backward pass,
counted by autograd's hooks (which do not see the weights that mixing keeps, a hundredth of it). `late` assumes what is
open late in a search. `plain` is the largest path in torch's own modules, without the kernels that both sides share.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks._reporting import at_least, parser, say, show
from search.architecture import Architecture
from search.blocks import Head, MobileBlock, Stem
from search.choices import Choices, Sparsity
from search.machine import use_threads
from search.network import Network
from search.space import Space, preset
from search.supernet import Supernet

JOINT = Choices(
    precision=("fp32", "w8a8", "w4a8", "w4a4"), width=(1, 0.75, 0.5), sparsity=Sparsity(pattern="2:4", levels=(0, 0.5))
)
LATE = 3  # blocks that are taken to be open in each layer late in a search, with 2 precisions


class Step:
    """One training step on random pictures: forward, backward, SGD."""

    def __init__(self, network: nn.Module, forward: Callable[[Tensor], Tensor], space: Space, batch: int) -> None:
        shape = (batch, space.input.channels, space.input.height, space.input.width)
        self.x_NCHW = torch.rand(shape).contiguous(memory_format=torch.channels_last)
        self.y_N = torch.randint(space.classes, (batch,))
        network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stub forgets it
        self.optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
        self.network, self.forward = network, forward

    def __call__(self) -> None:
        """The step."""
        self.optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(self.forward(self.x_NCHW), self.y_N).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def saved_bytes(self) -> int:
        """What the forward pass keeps for the backward pass, each piece of memory counted once."""
        pieces: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            pieces[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = nn.functional.cross_entropy(self.forward(self.x_NCHW), self.y_N)
        del loss
        return sum(pieces.values())


def supernet_step(space: Space, batch: int, form: str = "shared", *, late: bool = False) -> Step:
    """A step of the supernet under soft samples at temperature 1."""
    supernet = Supernet(space, form)
    if late:
        generator = torch.Generator().manual_seed(0)
        for axis, keep in (("block", LATE), ("precision", 2), ("level", 1)):
            opened = supernet.theta.opened(axis)
            order = torch.rand(opened.shape, generator=generator).masked_fill(~opened, -1).argsort(1, descending=True)
            opened.scatter_(1, order[:, keep:], False)
    steps = iter(range(1 << 30))
    return Step(supernet, lambda x: supernet(x, supernet.theta.sample("gumbel", 1.0, 0, next(steps))), space, batch)


def path_step(space: Space, candidate: str, batch: int, precision: str = "fp32") -> Step:
    """A step of the network that takes `candidate` everywhere, at full width and dense."""
    choices = Choices(precision=(precision,))
    offered = space.offering(choices)
    names = [
        [layer.choices.index(c) for c in layer.choices if c.candidate.name == candidate] for layer in offered.layers
    ]
    network = Network(Architecture.from_indices(offered, [found[0] for found in names]))
    return Step(network, network, space, batch)


def plain_path_step(space: Space, candidate: str, batch: int) -> Step:
    """The same path in torch's own modules."""
    network = Network(Architecture.of(space, [candidate] * len(space.layers)))
    stem, head = network.stem, network.head
    assert isinstance(stem, Stem)
    assert isinstance(head, Head)
    blocks: list[nn.Module] = [_plain(stem.conv, stem.bn)]
    for block in network.layers:
        assert isinstance(block, MobileBlock)
        first, middle = _plain(block.expand, block.expand_bn), _plain(block.depthwise, block.depthwise_bn)
        path = nn.Sequential(first, middle, block.project, block.project_bn)
        blocks.append(_Residual(path) if block.operator.keeps_shape else path)
    blocks += [_plain(head.conv, head.bn), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head.linear]
    whole = nn.Sequential(*blocks)
    return Step(whole, whole, space, batch)


def _plain(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(norm.num_features), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, path: nn.Module) -> None:
        super().__init__()
        self.path = path

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = self.path(x_NCHW)
        return out + x_NCHW


def ratio(seconds: Sequence[float], baseline: Sequence[float]) -> float:
    """Median over rounds of two times of the same round."""
    return round(statistics.median(a / b for a, b in zip(seconds, baseline, strict=True)), 2)


def _turned(names: list[str], by: int) -> list[str]:
    """In a circle, from another one each time."""
    first = by % len(names)
    return names[first:] + names[:first]


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__)
    options.add_argument("--space", default="fbnet-cifar")
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--rounds", type=at_least(1), default=9)
    given = options.parse_args()
    use_threads(1)
    torch.manual_seed(0)
    space = preset(given.space)
    joint = space.offering(JOINT)
    steps = {
        "largest": path_step(space, "k5_e6", given.batch),
        "op": supernet_step(space, given.batch),
        "joint": supernet_step(joint, given.batch),
        "quantised": path_step(space, "k5_e6", given.batch, "w8a8"),
        "middle": path_step(space, "k3_e3", given.batch),
        "late": supernet_step(joint, given.batch, late=True),
        "plain": plain_path_step(space, "k5_e6", given.batch),
        "reference": supernet_step(space, given.batch, "reference"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(given.rounds + 2):  # the first two warm up: kernels compile, memory is fetched
        for name in _turned(list(steps), number):
            begin = time.thread_time()
            steps[name]()
            if number > 1:
                seconds[name].append(time.thread_time() - begin)
        say(f"round {number} of {given.rounds + 1}")
    memory = {name: steps[name].saved_bytes() for name in ("largest", "op", "joint", "plain")}
    largest = seconds["largest"]
    figures = {
        "space": space.name,
        "batch": given.batch,
        "operators_a_layer": min(len(set(map(layer.operator, layer.choices))) for layer in joint.layers),
        "largest_path_seconds": round(statistics.median(largest), 3),
        "plain_path_seconds": round(statistics.median(seconds["plain"]), 3),
        "shared_op_ratio": ratio(seconds["op"], largest),
        "shared_joint_ratio": ratio(seconds["joint"], largest),
        "memory_ratio": round(memory["joint"] / memory["largest"], 2),
        "op_memory_ratio": round(memory["op"] / memory["largest"], 2),
        "reference_ratio": ratio(seconds["reference"], largest),
        "joint_over_middle": ratio(seconds["joint"], seconds["middle"]),
        "op_over_middle": ratio(seconds["op"], seconds["middle"]),
        "joint_over_quantised": ratio(seconds["joint"], seconds["quantised"]),
        "late_joint_ratio": ratio(seconds["late"], largest),
        "op_over_plain": ratio(seconds["op"], seconds["plain"]),
        "joint_over_plain": ratio(seconds["joint"], seconds["plain"]),
        "memory_over_plain": round(memory["joint"] / memory["plain"], 2),
    }
    show(figures, as_json=given.json)


if __name__ == "__main__":
    main()
