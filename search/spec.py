"""The job document: what people ask of a search. Torch-free; the API validates it, the engine reads it.

What it does not know is refused by name, never ignored.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from search.baselines import BASELINES
from search.choices import Choices
from search.constraints import Constraints
from search.document import Document, Name

FEWEST = 2  # pictures of a side of a search: BatchNorm needs as many
Label = Annotated[str, Field(max_length=200)]
LABEL_PATTERN = r"^[a-z0-9][a-z0-9._/-]{0,62}$"
LabelName = Annotated[str, Field(pattern=LABEL_PATTERN)]
# pydantic's schema has the pattern of names, and does not say that there are no others.
_CLOSED: dict[str, JsonValue] = {"additionalProperties": False}
Labels = Annotated[dict[LabelName, Label], Field(max_length=64, json_schema_extra=_CLOSED)]
JobId = Annotated[str, Field(pattern=r"^job_[A-Za-z0-9_-]{1,64}$")]
Sampler = Literal["gumbel", "gumbel-hard", "two-path", "softmax"]


class Temperature(Document):
    """Gumbel-softmax temperature, from `start` to `end`, which the last architecture step has: in equal ratios
    (`exponential`; FBNet: 5, times exp(-0.045) an epoch), in equal differences (`linear`), or along half a `cosine`.
    """

    start: Annotated[float, Field(gt=0, le=100)] = 5.0
    end: Annotated[float, Field(gt=0, le=100)] = 0.5
    schedule: Literal["exponential", "linear", "cosine"] = "exponential"

    def at(self, progress: float) -> float:
        """The temperature at a `progress` from 0 to 1."""
        match self.schedule:
            case "exponential":
                return float(self.start * (self.end / self.start) ** progress)
            case "linear":
                left = 1 - progress
            case "cosine":
                left = (1 + math.cos(math.pi * progress)) / 2
        return self.end + (self.start - self.end) * left


class Search(Document):
    """How the supernet is trained. The first `warmup_epochs`, fewer than `epochs`, train weights alone. `examples` is
    how many of the training pictures the search takes, all where it is null (the finish takes all at any rate);
    `theta_share` the part of them that architecture steps and scores have to themselves.

    `sampler` draws the shares of architecture steps, `weight_sampler` those of weight steps (search.supernet.sampler);
    `sandwich` is in turn the largest path (Yu 2019, universally slimmable networks, sec. 3.2) and one drawn as evenly
    as the budgets allow: on average it holds them (drawn about a target, as in AttentiveNAS: Wang 2021, sec. 3) but for
    its bits, which are drawn evenly (search.objective.paths_within). `evidence_samples` sub-networks are scored after
    it: they name half of the finalists, and other budgets can be asked later; with fewer than 16 theta names all.
    `pretrained` names a job that succeeded: its supernet's weights are where this one starts. With `warm_start` theta
    starts from what that method proposes after the warm-up: precisions, zeros or widths (search.warm_starts).
    Floats and 8 bits are as accurate as each other after a training: with `leave_out`, where fp32 alone, or w8a8
    alone, allows networks as large as a mix of them does within the budgets, the other is left out (search.alike).
    """

    epochs: Annotated[int, Field(ge=1, le=1000)] = 12
    warmup_epochs: Annotated[int, Field(ge=0, le=1000)] = 2
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 128
    examples: Annotated[int, Field(ge=10)] | None = None
    theta_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    weight_lr: Annotated[float, Field(gt=0, le=10)] = 0.1
    theta_lr: Annotated[float, Field(gt=0, le=10)] = 0.1
    supernet: Literal["shared", "reference"] = "shared"
    sampler: Sampler = "gumbel"
    weight_sampler: Sampler | Literal["uniform", "sandwich"] = "sandwich"
    objective: Literal["constrained", "fbnet"] = "constrained"
    evidence_samples: Annotated[int, Field(ge=0, le=100_000)] = 128
    pretrained: JobId | None = None
    warm_start: Literal["hawq", "variational-dropout", "hard-concrete"] | None = None
    temperature: Temperature = Temperature()
    leave_out: bool = True

    @model_validator(mode="after")
    def _some_search(self) -> "Search":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} leaves none of the {self.epochs} epochs to search in")
        return self

    def sides(self, examples: int) -> tuple[int, int]:
        """How many of so many training pictures train weights, and how many theta."""
        count = min(self.examples or examples, examples)
        for_theta = round(count * self.theta_share)
        return count - for_theta, for_theta


class Hawq(Document):
    """What `strategy: hawq` starts from (docs/concepts/sensitivity.md). `candidates` names each layer's block, at full
    width; empty, it is the largest that the layer is offered. `architecture` names a job that succeeded instead, whose
    blocks are taken at the widths that it derived. A float network of them is trained for `epochs`, from new
    weights or those of `search.pretrained`; then `vectors` of random signs estimate traces on so many `pictures`.
    """

    candidates: Annotated[tuple[str, ...], Field(max_length=4096)] = ()
    architecture: JobId | None = None
    epochs: Annotated[int, Field(ge=0, le=1000)] = 10
    pictures: Annotated[int, Field(ge=1, le=10_000)] = 256
    vectors: Annotated[int, Field(ge=2, le=10_000)] = 64

    @model_validator(mode="after")
    def _given_once(self) -> "Hawq":
        if self.candidates and self.architecture is not None:
            raise ValueError(f"candidates: the blocks are those of {self.architecture}; leave one of the two out")
        return self


class Pruning(Document):
    """How the zeros of sparse layers come in while the derived network trains (docs/concepts/training.md).

    `one-shot` masks before the first step. `gradual` prunes from the share `begin` of the steps to the share `end`, a
    greater one, once in `every` steps. `auto` takes the one that `finish.epochs` leaves time for, and the report says
    why.
    """

    schedule: Literal["auto", "gradual", "one-shot"] = "auto"
    begin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Annotated[float, Field(gt=0, le=1)] = 0.75
    every: Annotated[int, Field(ge=1, le=100_000)] = 10

    @model_validator(mode="after")
    def _some_time(self) -> "Pruning":
        if self.begin >= self.end:
            raise ValueError(f"begin {self.begin:g} has to be below end {self.end:g}: both are shares of the steps")
        return self


class Distillation(Document):
    """A float twin of the derived network (same blocks and widths, no zeros) trains first, for `epochs` (null: those of
    the finish). Then `weight` of the loss is how far the network's answers are from the twin's, both softened by
    `temperature` (Hinton 2015). Of classifiers only.
    """

    temperature: Annotated[float, Field(gt=0, le=100)] = 4.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None


CALIBRATION = r"^(gaussian|min-max|percentile(@\d{1,3}(\.\d+)?)?|entropy|mse)$"


class PostTraining(Document):
    """The derived network trains in float, and is rounded after that (docs/concepts/quantization.md).

    `calibration` sizes the grids of activations: as a Gaussian would, or by a method of search.quantizers.calibration.
    `pictures` are those of the training, or ones that BatchNorm's statistics make up (`zero-shot`). `equalization`
    evens out the channels of neighbouring layers before, `bias_correction` takes off what rounding adds to their means.
    With `rounding` adaround a layer learns which way to round each weight, 300 steps a layer.
    """

    calibration: Annotated[str, Field(pattern=CALIBRATION)] = "mse"
    pictures: Literal["training", "zero-shot"] = "training"
    rounding: Literal["nearest", "adaround"] = "nearest"
    equalization: bool = False
    bias_correction: bool = True

    @field_validator("calibration")
    @classmethod
    def _is_a_share(cls, name: str) -> str:
        share = float(name.partition("@")[2] or 100)
        if not 0 < share <= 100:
            raise ValueError(f"{name!r}: of a percentile, more than 0 and at most 100 can be kept")
        return name


class Finish(Document):
    """How the derived network is trained: from the supernet's weights, or from new ones ("scratch").

    `quantizer` says what sizes the grids of fewer than 32 bits: statistics, or steps learnt with the weights by LSQ or
    PACT (search.kernels.learnt). With `post_training` nothing is rounded while it trains. `ema` is the decay of a
    moving average of the weights, which is then what ships.
    """

    epochs: Annotated[int, Field(ge=0, le=1000)] = 10
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 128
    lr: Annotated[float, Field(gt=0, le=10)] = 0.1
    weights: Literal["inherited", "scratch"] = "inherited"
    quantizer: Literal["statistics", "lsq", "pact"] = "statistics"
    pruning: Pruning = Pruning()
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    distillation: Distillation | None = None
    post_training: PostTraining | None = None

    @model_validator(mode="after")
    def _one_quantizer(self) -> "Finish":
        if self.post_training and self.quantizer != "statistics":
            raise ValueError(f"quantizer {self.quantizer} learns while rounding, which post_training does after it")
        return self

    @model_validator(mode="after")
    def _trained(self) -> "Finish":
        asked = {
            "pruning.schedule": self.pruning.schedule == "gradual",
            "distillation": self.distillation is not None,
            "weights": self.weights == "scratch",
        }
        for field, is_asked in asked.items():
            if is_asked and not self.epochs:
                raise ValueError(f"{field}: needs training, and epochs is 0")
        return self

    @property
    def teaching_epochs(self) -> int:
        """How long the float twin is trained; 0 where there is none."""
        return (self.distillation.epochs or self.epochs) if self.distillation else 0

    def steps(self, batches: int) -> int:
        """Steps of the training and of its teacher's, at so many batches an epoch."""
        return (self.teaching_epochs + self.epochs) * batches

    def lasting(self, times: int) -> "Finish":
        """The same, so many times as long."""
        return self.model_copy(update={"epochs": self.epochs * times})

    def of_trial(self, epochs: int) -> "Finish":
        """How a finalist is tried for `epochs`: by itself, and judged by what its last step left."""
        return self.model_copy(update={"epochs": epochs, "distillation": None, "ema": None})


class Trials(Document):
    """A short training of so many `finalists`, half of them those that score best on the supernet, the others the best
    that mixes kinds of bits and the best of each alone (search.finalists), `epochs` each, before one is chosen by what
    scores and trials say together (search.trials). In further `rounds` the better half is tried anew, each time for
    twice as long (successive halving: Jamieson 2016, fig. 1), until one would be left. None are tried where `finalists`
    is 1 at most, or where the derived network is not trained either.
    """

    finalists: Annotated[int, Field(ge=0, le=16)] = 0
    epochs: Annotated[int, Field(ge=1, le=100)] = 1
    rounds: Annotated[int, Field(ge=1, le=4)] = 1

    def plan(self, tried: int) -> tuple[tuple[int, int], ...]:
        """How many of `tried` finalists are trained in each round, and for how many epochs."""
        found = list[tuple[int, int]]()
        for number in range(self.rounds):
            if tried < 2:
                break
            found.append((tried, self.epochs * 2**number))
            tried = (tried + 1) // 2
        return tuple(found)

    def epochs_of(self, tried: int) -> int:
        """Epochs of all trials together where `tried` finalists are."""
        return sum(count * epochs for count, epochs in self.plan(tried))


class Comparison(Document):
    """What the result is compared at: `points` budgets, the job's own and tighter ones (search.points), and `seeds`
    trainings of each network. Every method of the comparison has all of them (search.comparison).
    """

    points: Annotated[int, Field(ge=1, le=5)] = 1
    seeds: Annotated[int, Field(ge=1, le=5)] = 1


class OnDevice(Document):
    """Before the best finalist is trained, the agents of the devices that latency constraints name time it. One that
    takes more than its maximum there tightens that budget, and finalists are named anew (search.measuring). The job is
    paused where an agent has not answered within `wait_seconds`.
    """

    wait_seconds: Annotated[float, Field(ge=1, le=604_800)] = 3600.0


class SearchSpec(Document):
    """A search job as people write it. All but `space`, `dataset` and `constraints` have defaults.

    `strategy` hawq takes blocks as given (`hawq`) and trains no supernet: bits and zeros follow from sensitivities.
    `finalists` is how many architectures are scored on the supernet. All hold the constraints; half are best by theta,
    half by what choices contributed to scores. Where the space offers several kinds of bits, and there are two
    finalists or more for each, up to half of the places are for the best of each kind alone (search.finalists). The one
    that scores best is trained, or the best of those that are tried before (`trials`), once it holds the budgets on the
    devices too where the job says so (`on_device`). `baselines` are trained as it is, within the same budgets: any of
    random, uniform-magnitude, uniform-int8, hawq, magnitude-global, magnitude-gradient, variational-dropout,
    hard-concrete, lottery-ticket, scratch, scratch-2x (search.baselines). `labels` are up to 64, as in {"team": "cam"}:
    names of a-z, 0-9 and ._/-, and texts of up to 200 characters.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)] = "search"
    space: Name
    dataset: Name
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    choices: Choices | None = None
    constraints: Constraints
    strategy: Literal["differentiable", "hawq"] = "differentiable"
    hawq: Hawq | None = None
    search: Search = Search()
    finish: Finish = Finish()
    finalists: Annotated[int, Field(ge=1, le=64)] = 32
    trials: Trials = Trials()
    on_device: OnDevice | None = None
    baselines: tuple[str, ...] = ()
    comparison: Comparison = Comparison()
    labels: Labels = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_its_strategy(self) -> "SearchSpec":
        if self.strategy != "hawq":
            if self.hawq is not None:
                raise ValueError('hawq: only used with "strategy": "hawq": set that, or remove hawq')
            return self
        if self.search.model_copy(update={"pretrained": None}) != Search():
            raise ValueError("search: strategy hawq trains no supernet: of search only pretrained may be given")
        if self.trials.finalists:
            raise ValueError("trials: strategy hawq has no finalists to try; leave it out")
        if self.hawq is not None and not self.hawq.epochs and self.search.pretrained is None:
            raise ValueError("hawq.epochs: 0 leaves new weights as they are, which have no sensitivity worth the name")
        return self

    @model_validator(mode="after")
    def _of_a_device(self) -> "SearchSpec":
        if self.on_device is not None and all(constraint.metric != "latency" for constraint in self.constraints):
            raise ValueError("on_device: no constraint names a device's latency; leave it out")
        return self

    @property
    def tried(self) -> int:
        """How many finalists are trained before one is chosen; 0 where there is nothing to choose by."""
        count = min(self.finalists, self.trials.finalists)
        return count if count > 1 and self.finish.epochs else 0

    @property
    def trial_epochs(self) -> int:
        """Epochs of all trials together, where the budgets leave as many finalists as are tried."""
        return self.trials.epochs_of(self.tried)

    @property
    def compared(self) -> int:
        """How many networks stand in the comparison, the job's own among them; 0 where it has none beside it."""
        count = (1 + len(self.baselines)) * self.comparison.points * self.comparison.seeds
        return count if count > 1 else 0

    def compare_steps(self, batches: int) -> int:
        """Steps of the comparison, at so many batches an epoch: what each network but the job's own takes until it is
        there and trained, and one for each to judge it.
        """
        if not self.compared:
            return 0
        each = self.comparison.points * self.comparison.seeds
        methods = ("search", *self.baselines)  # the job's own network is trained before
        return each * sum(self.network_steps(name, batches) for name in methods) - self.finish.steps(batches)

    def network_steps(self, method: str, batches: int) -> int:
        """Steps of one network of the comparison, whose method is the search or a baseline: until it is there, trained
        and judged.
        """
        baseline = BASELINES.get(method)
        if baseline is None:
            return self.finish.steps(batches) + 1
        rehearsed = baseline.rehearsals * self.finish.epochs * batches + baseline.vectors
        return rehearsed + self.finish.lasting(baseline.length).steps(batches) + 1

    @model_validator(mode="after")
    def _worth_comparing(self) -> "SearchSpec":
        for name in self.baselines:
            if BASELINES[name].trains and not self.finish.epochs:
                raise ValueError(f"baselines: {name} needs training, and finish.epochs is 0")
        if "scratch" in self.baselines and self.finish.weights == "scratch":
            raise ValueError("baselines: scratch is what finish.weights asks of the job itself; leave one of them out")
        if "hawq" in self.baselines and self.strategy == "hawq":
            raise ValueError("baselines: hawq is the strategy of the job itself; leave it out")
        return self

    @field_validator("baselines")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in BASELINES:
                raise ValueError(f"{name!r} is none of the baselines {', '.join(BASELINES)}")
        if len(set(names)) < len(names):
            raise ValueError("a baseline stands twice: once is enough")
        return names
