"""Data sets as the API shows them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from api.datasets.models import Dataset
from search.datasets.catalog import DatasetFacts
from search.space import Input


class Examples(BaseModel):
    """How many pictures to train on, and how many to test with."""

    train: int
    test: int


class DatasetView(BaseModel):
    """A data set. A built-in one has its name as id, and no time of making."""

    id: str
    name: str
    origin: Literal["built-in", "own"]
    input: Input
    classes: int
    class_names: list[str]
    examples: Examples
    content_hash: str
    note: str = ""
    created_at: datetime | None = None

    @classmethod
    def of(cls, row: Dataset) -> "DatasetView":
        """What the API says of a row."""
        return cls(
            id=row.id, name=row.name, origin="own",
            input=Input(channels=row.channels, height=row.height, width=row.width), classes=row.classes,
            class_names=row.class_names, examples=Examples(train=row.train_examples, test=row.test_examples),
            content_hash=row.content_hash, created_at=row.created_at,
        )  # fmt: skip

    @classmethod
    def built_in(cls, facts: DatasetFacts) -> "DatasetView":
        """What the API says of a built-in set."""
        return cls(
            id=facts.name, name=facts.name, origin="built-in", input=facts.input, classes=facts.classes,
            class_names=list(facts.class_names), content_hash=facts.content_hash, note=facts.note,
            examples=Examples(train=facts.train_examples, test=facts.test_examples),
        )  # fmt: skip
