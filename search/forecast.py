"""What a job will take, told before anything is spent: steps, multiply-adds, memory, seconds. Torch-free.

A training step takes three times the multiply-adds of its forward pass: the backward pass has one product for the
input's gradient and one for the weight's. A step of the shared supernet is one of its largest path, times
SHARED_OVERHEAD for mixing views; the reference form runs every choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from latency.operator import Operator
from search import warm_starts
from search.baselines import SENSED
from search.costs import macs, parameters
from search.evidence import PICTURES, parts_scored
from search.space import Space
from search.spec import Hawq, SearchSpec

MACS_PER_THREAD_SECOND = 15e9  # fbnet-mini and fbnet-cifar on one core of a Xeon with AVX-512, float32: 14 to 18e9
SHARED_OVERHEAD = 1.2  # 1.1 to 1.3 measured, the more the more there is to choose (./run bench supernet_step)
TRAINING = 3
SECOND_ORDER = 4  # passes: the gradient of a gradient's product with a vector
SECOND_ORDER_TENSORS = 5  # bytes of it over those of a plain step, measured as RESIDENT_SHARE is
NOISE_TENSORS, GATE_TENSORS = 3, 1.5  # the same of variational dropout and of L0 gates
FLOAT_BYTES = 4
TENSORS_PER_PARAMETER = 3  # weight, gradient, momentum
ROUNDING_BYTES, ROUNDING_TENSORS = 2**28, 7  # of search.quantizers.roundings, which needs torch; doubles count twice
CALIBRATION_EXAMPLES = 2000  # at most: search.finish has the same, and needs torch
PROCESS_BYTES = 580e6  # torch with what it loads, compiled kernels and, at its end, ONNX and LiteRT; before any data
JUDGED_AT_ONCE = 500  # pictures of a pass that evaluates: search.batches has the same, and needs torch
# Greatest resident bytes over those of the tensors counted (./run bench forecast): of training steps, with gradients on
# their way, and of forward passes that score networks of many widths one after another. Freed memory is kept.
RESIDENT_SHARE, PASSING_SHARE = 2.1, 3.5


@dataclass(frozen=True)
class Pace:
    """Multiply-adds a second in steps of the supernet and of the network that is trained, and what they rest on."""

    search_macs_per_second: float
    finish_macs_per_second: float
    rests_on: str


@dataclass(frozen=True)
class Workload:
    """Steps of search (of strategy hawq: of its float network, and vectors), trials, teaching, finish and comparison
    with the multiply-adds of one each, on average (of trials and teaching the same: `plain_step_macs`; of comparison
    those of the finish), and those of a warm start, of scoring all finalists and evidence, and of judging what is
    compared.
    """

    search_steps: int
    trial_steps: int
    teach_steps: int
    finish_steps: int
    compare_steps: int
    search_step_macs: float
    plain_step_macs: float
    finish_step_macs: float
    warm_start_macs: float
    scoring_macs: float
    judging_macs: float
    memory_bytes: int

    def seconds(self, pace: Pace) -> float:
        """What all of it takes at that pace."""
        search = self.search_steps * self.search_step_macs + self.warm_start_macs + self.scoring_macs
        plain = (self.trial_steps + self.teach_steps) * self.plain_step_macs + self.judging_macs
        finish = plain + (self.finish_steps + self.compare_steps) * self.finish_step_macs
        return search / pace.search_macs_per_second + finish / pace.finish_macs_per_second


def stated_pace(threads: int) -> Pace:
    """The pace where nothing was measured yet."""
    rate = MACS_PER_THREAD_SECOND * threads
    on = counted(threads, "thread")
    rests_on = f"{rate / 1e9:g}e9 multiply-adds a second on {on}, a constant: no job has ended here yet"
    return Pace(rate, rate, rests_on)


def counted(number: int, noun: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def workload(
    spec: SearchSpec, space: Space, *, examples: int, test_examples: int, trains_only: bool = False
) -> Workload:
    """What `spec` takes on `space` with so many training and test pictures. Which network will be trained is not known:
    its multiply-adds are those of average choices, its memory that of the largest ones. One that `trains_only` does the
    finish of `spec` and nothing before it.
    """
    if trains_only:
        return _training(spec, space, examples)
    finish = spec.finish
    pixels = space.input.channels * space.input.height * space.input.width
    batches = max(1, examples // finish.batch_size)
    found = _sensing(spec, space, batches) if spec.strategy == "hawq" else _searching(spec, space, examples)
    trained = _tensor_bytes(_largest(space), finish.batch_size) if finish.epochs else 0
    finishing = max(trained, _compared_bytes(spec, space))
    for_weights, for_theta = spec.search.sides(examples)
    held_out = max(1, for_theta)
    pictures, parts = parts_scored(held_out)
    average = _average_macs(space) * finish.batch_size
    scored = spec.finalists * pictures + spec.search.evidence_samples * pictures / parts
    if spec.strategy == "hawq":
        scored = 0.0
    # While others are trained, the result stays, with its momentum and its pictures.
    kept = _network_bytes(_largest(space)) + examples * pixels if spec.compared else 0
    judged = 2 * spec.compared * (min(CALIBRATION_EXAMPLES, examples) + test_examples)  # before and after training
    return Workload(
        search_steps=found.steps,
        trial_steps=spec.trial_epochs * max(1, for_weights // finish.batch_size),
        teach_steps=finish.teaching_epochs * batches,
        finish_steps=finish.epochs * batches,
        compare_steps=spec.compare_steps(batches),
        search_step_macs=found.macs / found.steps,
        plain_step_macs=TRAINING * average,
        finish_step_macs=(TRAINING + (finish.distillation is not None)) * average,  # the twin's answers
        warm_start_macs=_warm_start_macs(spec, space, examples),
        scoring_macs=scored * _average_macs(space),
        judging_macs=judged * _average_macs(space),
        # The arrays stay, and the searcher has tensors of its own of them.
        memory_bytes=round(
            PROCESS_BYTES
            + max(
                RESIDENT_SHARE * max(found.tensor_bytes, finishing),
                PASSING_SHARE * _passing_bytes(space, min(pictures, PICTURES)),
                _rounding_bytes(spec, space, examples),
            )
            + 2 * examples * pixels
            + kept
        ),
    )


def _training(spec: SearchSpec, space: Space, examples: int) -> Workload:
    finish, pixels = spec.finish, space.input.channels * space.input.height * space.input.width
    average = TRAINING * _average_macs(space) * finish.batch_size
    tensors = max(
        RESIDENT_SHARE * _tensor_bytes(_largest(space), finish.batch_size),
        PASSING_SHARE * _passing_bytes(space, 0),
        _rounding_bytes(spec, space, examples),
    )
    steps = finish.epochs * max(1, examples // finish.batch_size)
    return Workload(
        search_steps=0, trial_steps=0, teach_steps=0, finish_steps=steps, compare_steps=0, search_step_macs=0.0,
        plain_step_macs=average, finish_step_macs=average, warm_start_macs=0.0, scoring_macs=0.0, judging_macs=0.0,
        memory_bytes=round(PROCESS_BYTES + tensors + 2 * examples * pixels),
    )  # fmt: skip


def _passing_bytes(space: Space, scored: int) -> float:
    """Of the largest path while it scores or judges: many pictures, of which the backward pass needs nothing."""
    operators = _largest(space)
    return FLOAT_BYTES * max(scored, JUDGED_AT_ONCE) * max(map(_passing_values, operators)) + _network_bytes(operators)


class _Found(NamedTuple):
    """What it takes to come to an architecture: steps, multiply-adds of all, bytes of the tensors of the largest."""

    steps: int
    macs: float
    tensor_bytes: float


def _searching(spec: SearchSpec, space: Space, examples: int) -> _Found:
    is_shared = spec.search.supernet == "shared"
    mixed = sum(map(macs, _supernet(space, "shared"))) * SHARED_OVERHEAD if is_shared else _macs_of_all(space)
    average = _average_macs(space)
    passes = {
        "gumbel": mixed,
        "softmax": mixed,
        "gumbel-hard": average,
        "uniform": average,
        "two-path": min(mixed, 2 * average),
        "sandwich": (sum(map(macs, _largest(space))) + average) / 2,
    }
    weight_steps, theta_steps = _search_steps(spec, examples)
    each = weight_steps * passes[spec.search.weight_sampler] + theta_steps * passes[spec.search.sampler]
    trained = TRAINING * each * spec.search.batch_size
    held = max(
        _tensor_bytes(_supernet(space, spec.search.supernet), spec.search.batch_size), _warm_start_bytes(spec, space)
    )
    return _Found(weight_steps + theta_steps, trained, held)


def _sensing(spec: SearchSpec, space: Space, batches: int) -> _Found:
    """A vector is asked twice, by weights and by what layers read; each is a backward pass through a backward pass."""
    hawq = spec.hawq or Hawq()
    steps, one = hawq.epochs * batches, _average_macs(space)
    passes = steps * TRAINING * spec.finish.batch_size + hawq.vectors * 2 * SECOND_ORDER * hawq.pictures
    held = max(
        _tensor_bytes(_largest(space), spec.finish.batch_size),
        SECOND_ORDER_TENSORS * _tensor_bytes(_largest(space), hawq.pictures),
    )
    return _Found(steps + hawq.vectors, passes * one, held)


def _warm_start_macs(spec: SearchSpec, space: Space, examples: int) -> float:
    """Of vectors as in `_sensing`, or of a training; one with noise of each weight has two products for one."""
    largest, search = sum(map(macs, _largest(space))), spec.search
    weight_batches = _search_steps(spec, examples)[0] // search.epochs
    steps = warm_starts.steps(search, weight_batches)
    if search.warm_start == "hawq":
        return float(steps * 2 * SECOND_ORDER * warm_starts.PICTURES * largest)
    products = 2 if search.warm_start == "variational-dropout" else 1
    return float(steps * TRAINING * products * search.batch_size * largest)


def _warm_start_bytes(spec: SearchSpec, space: Space) -> float:
    """Of the tensors of one of its steps."""
    search, largest = spec.search, _largest(space)
    return {
        None: 0.0,
        "hawq": SECOND_ORDER_TENSORS * _tensor_bytes(largest, warm_starts.PICTURES),
        "variational-dropout": NOISE_TENSORS * _tensor_bytes(largest, search.batch_size),
        "hard-concrete": GATE_TENSORS * _tensor_bytes(largest, search.batch_size),
    }[search.warm_start]


def _compared_bytes(spec: SearchSpec, space: Space) -> float:
    """Of the tensors of the dearest step that a baseline takes beside those of a finish."""
    batch, largest = spec.finish.batch_size, _largest(space)
    held = {
        "hawq": SECOND_ORDER_TENSORS * _tensor_bytes(largest, SENSED),
        "variational-dropout": NOISE_TENSORS * _tensor_bytes(largest, batch),
        "hard-concrete": GATE_TENSORS * _tensor_bytes(largest, batch),
    }
    return max((held.get(name, 0.0) for name in spec.baselines), default=0.0)


def _rounding_bytes(spec: SearchSpec, space: Space, examples: int) -> float:
    """While roundings are learnt: what a layer reads of both networks, what it gives, and their differences."""
    if spec.finish.post_training is None or spec.finish.post_training.rounding != "adaround":
        return 0.0
    values = max(map(_passing_values, _largest(space))) * min(CALIBRATION_EXAMPLES, examples)
    return ROUNDING_TENSORS * min(ROUNDING_BYTES, FLOAT_BYTES * values)


def _search_steps(spec: SearchSpec, examples: int) -> tuple[int, int]:
    """Weight steps and architecture steps."""
    search = spec.search
    for_weights, for_theta = search.sides(examples)
    weight, theta = max(1, for_weights // search.batch_size), max(1, for_theta // search.batch_size)
    return search.epochs * weight, (search.epochs - search.warmup_epochs) * theta


def _largest(space: Space) -> list[Operator]:
    """Operators of the network of the most multiply-adds."""
    layers = [max(operators, key=macs) for operators in space.operators_LK]
    return [space.stem_operator, *layers, space.head_operator]


def _supernet(space: Space, form: str) -> list[Operator]:
    """Operators that a supernet step computes: of the shared form one block that holds all, and skip; of the reference
    every one.
    """
    layers = [operator for operators in space.operators_LK for operator in _paths(operators, form)]
    return [space.stem_operator, *layers, space.head_operator]


def _paths(operators: Sequence[Operator], form: str) -> Sequence[Operator]:
    if form == "reference":
        return operators
    blocks = [operator for operator in operators if operator.kind == "mbconv"]
    skips = [operator for operator in operators if operator.kind == "skip"]
    if not blocks:
        return skips[:1]
    middle, kernel = max(o.c_mid for o in blocks), max(o.kernel for o in blocks)
    return [replace(blocks[0], c_mid=middle, kernel=kernel, groups=1, sparsity=0.0, pattern=""), *skips[:1]]


def _macs_of_all(space: Space) -> int:
    return sum(map(macs, _supernet(space, "reference")))


def _average_macs(space: Space) -> float:
    fixed = macs(space.stem_operator) + macs(space.head_operator)
    return fixed + sum(sum(map(macs, operators)) / len(operators) for operators in space.operators_LK)


def _tensor_bytes(operators: Sequence[Operator], batch: int) -> float:
    """Bytes of what the backward pass needs, and of weights, gradients and momenta."""
    return FLOAT_BYTES * sum(map(_saved_values, operators)) * batch + _network_bytes(operators)


def _network_bytes(operators: Sequence[Operator]) -> int:
    """Bytes of weights, gradients and momenta."""
    return FLOAT_BYTES * TENSORS_PER_PARAMETER * sum(map(parameters, operators))


def _saved_values(operator: Operator) -> int:
    """Values of one picture that the backward pass needs: of a block what each convolution and each activation gives,
    5 tensors; of stem and head 2; of a projecting skip 1.
    """
    o = operator
    pixels = o.h * o.w
    match o.kind:
        case "mbconv":
            out = o.out_hw[0] * o.out_hw[1]
            return 2 * pixels * o.c_mid + 2 * out * o.c_mid + out * o.c_out
        case "skip":
            return 0 if o.keeps_shape else o.out_hw[0] * o.out_hw[1] * o.c_out
        case "stem":
            return pixels * o.c_in + 2 * o.out_hw[0] * o.out_hw[1] * o.c_out
        case "head":
            return 2 * pixels * o.c_mid
        case _:
            return 0


def _passing_values(operator: Operator) -> int:
    """Values of one picture that are alive at once without a backward pass: the input, and what one step of a block
    reads and gives.
    """
    o = operator
    pixels = o.h * o.w
    if o.kind == "head":
        return pixels * (o.c_in + 2 * o.c_mid)
    out = o.out_hw[0] * o.out_hw[1]
    if o.kind == "mbconv":
        return pixels * o.c_in + max(2 * pixels * o.c_mid, (pixels + out) * o.c_mid, out * (o.c_mid + o.c_out))
    return pixels * o.c_in + 2 * out * o.c_out
