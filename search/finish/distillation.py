"""A float twin teaches the derived network (Hinton 2015, "Distilling the knowledge in a neural network")."""

from torch import Tensor
from torch.nn import functional as F

from search.spec import Finish
from search.task import Classification, Task


def refuse_unteachable(settings: Finish, task: Task) -> None:
    """Raises ValueError where distillation is asked for and the task is none of classification."""
    if settings.distillation and not isinstance(task, Classification):
        raise ValueError(f"finish.distillation: {type(task).__name__} has no logits of classes to soften: leave it out")


def apart(output: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of logits (N, classes) softened by T, the mean over the batch: with T^2 its gradient
    keeps its size whatever T is (Hinton 2015, sec. 2).
    """
    student, teacher = (F.log_softmax(logits / temperature, dim=1) for logits in (output, taught))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2
