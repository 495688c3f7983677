"""Rows of `seeds` that train LeNet-300-100 on Fashion-MNIST, each from one seed; points are of test accuracy."""

import copy
from functools import cache

from torch import nn

from benchmarks._lenet import Pace, lenet
from benchmarks._seed_rows import Row
from search.choices import Level
from search.compression import variational
from search.compression.connectivity import instability
from search.compression.gradual import Gradual, Ramp, mask_layer
from search.compression.layers import weighted
from search.compression.magnitude import Criterion, choose, density, scores, sparsities
from search.compression.tickets import Kind, Tickets
from search.compression.training import Recipe, Training, error
from search.datasets import ImageData

EPOCHS = 10
NOISY_EPOCHS, WARMUP_EPOCHS = 14, 14
PROFILE = {"1": 0.95, "3": 0.88, "5": 0.46}
SHARE = 0.98
ROUNDS = 14  # 0.8 ^ 14 = 4.4 %
SEED = 0
CONTROLS: tuple[Kind, ...] = ("shuffled mask", "new weights")
PLAIN = Recipe(epochs=EPOCHS, lr=0.1)
ADAM = Recipe(epochs=NOISY_EPOCHS, lr=1e-3, optimizer="adam")
EPOCHS_OF = {
    "variational": NOISY_EPOCHS + EPOCHS,
    "pruning": 3 * EPOCHS,
    "tickets": (ROUNDS + 3) * EPOCHS,
    "connectivity": 3 * EPOCHS - 1,
}


class Trainings:
    """All of them on one data set, told by one pace."""

    def __init__(self, data: ImageData, pace: Pace) -> None:
        self.data, self.pace = data, pace
        self.dense = cache(self._dense)

    def points(self, model: nn.Module) -> float:
        """Test accuracy in per cent."""
        return 100 * (1 - error(model, self.data))

    def _dense(self) -> nn.Module:
        model = lenet(SEED)
        self.pace.run(Training(model, data=self.data, recipe=PLAIN, seed=SEED), "dense")
        return model

    def variational(self) -> list[Row]:
        """Sparsity by layer and what it costs."""
        model, examples = variational.noisy(lenet(SEED)), len(self.data.y_train)
        training = Training(model, data=self.data, recipe=ADAM, seed=SEED)
        warmup = WARMUP_EPOCHS * len(training.batches)
        training.penalty = lambda step: variational.penalty(model, examples, warmup=min(1.0, step / warmup))
        self.pace.run(training, "variational dropout")
        masks = variational.masks(model)
        rows = [
            Row(f"variational dropout: sparsity of layer {number}", expected, sparsities(masks)[name], tolerance)
            for number, ((name, expected), tolerance) in enumerate(
                zip(PROFILE.items(), (0.03, 0.05, 0.15), strict=True), 1
            )
        ]
        lost = self.points(self.dense()) - self.points(model)
        return [
            *rows,
            Row("variational dropout: sparsity", 0.94, 1 - density(masks), 0.03),
            Row("variational dropout: points lost, at most", 2.5, lost, 0.5, "most"),
        ]

    def one_shot(self, criterion: Criterion) -> float:
        """The dense network at 98 % by layer at once, and trained on."""
        model = copy.deepcopy(self.dense())
        masks = choose(scores(model, criterion, seed=SEED), SHARE, scope="layer")
        self.pace.run(
            Training(model, data=self.data, recipe=PLAIN, seed=SEED + 1, masks=masks), f"one-shot {criterion}"
        )
        return self.points(model)

    def gradual(self) -> float:
        """The dense network, zeros coming in over the first half of as many steps."""
        model = copy.deepcopy(self.dense())
        parts = [mask_layer(layer, Level("unstructured", SHARE)) for layer in weighted(model).values()]
        training = Training(model, data=self.data, recipe=PLAIN, seed=SEED + 1)
        gradual = Gradual(parts, Ramp(begin=0, end=training.steps // 2, every=100))
        reports = iter(training)
        for step in range(training.steps):
            gradual.before_step(step)
            with gradual.holding():
                report = next(reports)
            if report.step % len(training.batches) == 0:
                self.pace.epoch_is_done(f"gradual, epoch {report.data['epoch']}, loss {report.data['loss']:.3f}")
        return self.points(model)

    def pruning(self) -> list[Row]:
        """Gradual pruning to 98 % against magnitude and random at once."""
        gradual = self.gradual()
        return [
            Row(
                "gradual pruning to 98 %: points over one-shot", 2.0, gradual - self.one_shot("magnitude"), 0.0, "least"
            ),
            Row("gradual pruning to 98 %: points over random", 2.0, gradual - self.one_shot("random"), 0.0, "least"),
        ]

    def tickets(self) -> list[Row]:
        """Iterative magnitude pruning to 4.4 %, against its two controls."""
        search = Tickets(lenet(SEED), data=self.data, recipe=PLAIN, seed=SEED, rounds=ROUNDS)
        for report in search:
            if report.step % len(search.current.batches) == 0:
                self.pace.epoch_is_done(f"tickets, round {report.data['round']}, density {report.data['density']:.3f}")
        ticket = self.finished(search.training(), "ticket")
        shuffled, new = (self.finished(search.training(kind, seed=SEED), kind) for kind in CONTROLS)
        return [
            Row("tickets: density", 0.044, density(search.masks), 0.0005),
            Row("tickets: accuracy, at least", 87.8, ticket, 0.0, "least"),
            Row("tickets: points over the shuffled mask", 2.0, ticket - shuffled, 0.0, "least"),
            Row("tickets: points over new weights", 1.5, ticket - new, 0.0, "least"),
        ]

    def finished(self, training: Training, name: str) -> float:
        """Accuracy behind the last step."""
        self.pace.run(training, name)
        return self.points(training.model)

    def connectivity(self) -> list[Row]:
        """The barrier between two that part behind the first epoch, and between two starts."""
        recipe = ADAM._replace(epochs=EPOCHS)
        steps = len(self.data.y_train) // recipe.batch_size
        found = instability(lenet(SEED), data=self.data, recipe=recipe, seed=SEED, step=steps)
        for _ in range(EPOCHS_OF["connectivity"]):
            self.pace.epoch_is_done("connectivity")
        return [
            Row("barrier behind a shared epoch, at most", 0.01, found.line.barrier, 0.0, "most"),
            Row("barrier between two starts, at least", 0.10, found.control.barrier, 0.0, "least"),
        ]
