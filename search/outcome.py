"""What a training leaves: the network as files, all or none of them, and the figures of its report."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.architecture import Architecture
from search.batches import evaluation, tensors
from search.budget import Budget
from search.files import ARCHITECTURE, WEIGHTS
from search.finish import Quality, Trainer, evaluated, quality_of
from search.network import save_weights
from search.report.compared import ComparedRun
from search.shipping import Models, write_models

PROBE_EXAMPLES = 64


@dataclass(frozen=True)
class Result:
    """What a finished run leaves: its files, and the figures of its report.

    `before` is the metric of the derived network as inherited, with its zeros and bits and BatchNorm recalibrated; None
    where it was trained from scratch. Those of top 5 are None but for classifiers of more than five classes.
    `float_metric` is that of the network of model-float.onnx where there is one, `teacher` what the float twin reached
    that taught it. `notes` are sentences on how it was trained, and on what was not written.
    """

    architecture: Architecture
    predicted: dict[str, float]
    test_metric: float
    export_difference: float | None
    files: tuple[Path, ...]
    top5: float | None = None
    before: float | None = None
    top5_before: float | None = None
    float_metric: float | None = None
    teacher: float | None = None
    notes: tuple[str, ...] = ()
    compared: tuple[ComparedRun, ...] = ()


def export_trained(
    trainer: Trainer, folder: Path, *, budgets: Sequence[Budget], before: Quality | None, notes: Sequence[str] = (),
    onnx: bool = True, others: Callable[[Path], Sequence[Path]] = lambda _: (), compared: Sequence[ComparedRun] = (),
) -> Result:  # fmt: skip
    """Settles the trained network, tests it and writes architecture.json, weights.safetensors, the models of
    `search.shipping` and what `others` writes. No file is in `folder` before all are written and checked. Raises
    ExportMismatch, and ValueError where the head of the task has no `folded` that a model could be made of: leave
    `onnx` out then.
    """
    assert trainer.step == trainer.steps, "the training is not done"
    trainer.settle()
    network, data, task = trainer.network, trainer.data, trainer.task
    after = quality_of(network, data, task)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as name:
        beside = Path(name)
        models = _models(trainer, beside) if onnx else None
        (beside / ARCHITECTURE).write_text(network.architecture.model_dump_json(indent=2) + "\n", encoding="utf-8")
        save_weights(network, beside / WEIGHTS)
        written = [beside / ARCHITECTURE, beside / WEIGHTS, *(models.files if models else ()), *others(beside)]
        files = tuple(file.replace(folder / file.name) for file in written)
    indices = network.architecture.indices
    return Result(
        network.architecture, predicted(budgets, indices), after.metric, models.difference if models else None, files,
        top5=after.top5,
        before=before.metric if before else None,
        top5_before=before.top5 if before else None,
        float_metric=evaluated(models.plain, data, task) if models and models.plain else None,
        teacher=trainer.teacher_metric,
        notes=(*notes, *trainer.notes, *(models.notes if models else ())),
        compared=tuple(compared),
    )  # fmt: skip


def predicted(budgets: Sequence[Budget], indices: Sequence[int]) -> dict[str, float]:
    """Each budget's total of an architecture, by the budget's name and in its unit."""
    return {budget.name: budget.total(indices) for budget in budgets}


def _models(trainer: Trainer, folder: Path) -> Models:
    probe = next(evaluation(tensors(trainer.data.x_test, trainer.data.y_test)[0], PROBE_EXAMPLES))
    calibration = trainer.calibration()
    return write_models(trainer.network, folder, probe_NCHW=probe, calibration=calibration, head=trainer.task.head)
