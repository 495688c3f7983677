"""A job once more with today's inputs, changed where wanted.

Errors:
    InvalidRequest (DomainError)   422  invalid-request: what comes of the patch is no job
"""

from typing import Any

from pydantic import ValidationError

from api.errors import InvalidRequest
from api.jobs.document import JobDocument
from api.jobs.models import SearchJob
from api.problems import field_problems


def patched(job: SearchJob, patch: dict[str, Any]) -> JobDocument:
    """The document of `job` with a JSON merge patch (RFC 7396) applied: null takes a field back to its default, a list
    replaces a list. Raises InvalidRequest.
    """
    if job.extends is not None:
        raise InvalidRequest(
            f"{job.id} trains the network of {job.extends} on and searches nothing: clone that one, or extend it again."
        )
    document = {**job.spec, "priority": job.priority, "limits": job.limits}
    try:
        return JobDocument.model_validate(_merged(document, patch))
    except ValidationError as error:
        wrong = field_problems(error.errors())
        told = "; ".join(f"{one.field}: {one.detail}" for one in wrong)
        raise InvalidRequest(f"{job.id} with this patch is no job: {told}", errors=wrong) from error


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
