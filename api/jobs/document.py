"""The job document as the service takes it: the search (`search.spec`), and how the service is to carry it out.

The engine reads the search alone: what stands here changes when a job runs and how long, never what comes out.
"""

from typing import Annotated, Any

from pydantic import Field

from search.document import Document
from search.spec import SearchSpec


class Limits(Document):
    """What a job may take: `max_seconds` of all its attempts together, `max_memory_bytes` of the worker's process. A
    job that takes more fails (`time-limit`, `memory-limit`) and is not tried again.
    """

    max_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_memory_bytes: Annotated[int, Field(ge=2**20, lt=2**63)] | None = None


class JobDocument(SearchSpec):
    """A search job with its terms. Of jobs that wait the highest `priority` comes first, the oldest of equals."""

    priority: Annotated[int, Field(ge=-10, le=10)] = 0
    limits: Limits = Limits()

    @property
    def search_document(self) -> dict[str, Any]:
        """The search alone, as JSON."""
        return self.model_dump(mode="json", include=set(SearchSpec.model_fields))

    @property
    def told_apart_by(self) -> dict[str, Any]:
        """What an idempotency key is held against. Terms that are the default are left out: keys of before there were
        any still hold.
        """
        terms = set(JobDocument.model_fields) - set(SearchSpec.model_fields)
        return {**self.search_document, **self.model_dump(mode="json", include=terms, exclude_defaults=True)}
