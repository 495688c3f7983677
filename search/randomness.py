"""Random numbers that need no state: every draw is a function of (seed, purpose, index).

So a search that was killed and goes on at step n draws what it would have drawn, with nothing to save.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A torch generator that is the same for the same arguments, and unrelated for any other."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def permutation(length: int, seed: int, purpose: str, index: int = 0) -> torch.Tensor:
    """A shuffled arange(length)."""
    return torch.randperm(length, generator=generator(seed, purpose, index))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Within it torch's global draws on the CPU (new weights) are a function of the arguments; outside they go on as
    they were.
    """
    # Other devices are left alone: to seed those that are not there takes torch.manual_seed a millisecond, each step.
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(generator(seed, purpose).initial_seed())
        yield
