"""The pages about jobs and spaces are current, and the job documents of other pages are taken."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.jobs.document import JobDocument
from api.jobs.reference import reference
from api.spaces import reference as spaces
from search.choices import Choices
from search.space import Space, Stage

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REQUIRED = {
    "space": "fbnet-mini",
    "dataset": "fashion-mnist",
    "constraints": [{"metric": "latency", "device": "my-machine", "max_us": 130}],
}
BLOCKS = {
    f"{page.relative_to(ROOT)}-{number}": json.loads(text)
    for page in PAGES
    for number, text in enumerate(re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL))
}
OTHERS = {  # an event, a table and a question to a finished job
    "docs/concepts/jobs.md-0", "docs/concepts/latency-tables.md-0", "docs/guides/retargeting.md-0",
}  # fmt: skip


def test_the_page_about_the_job_document_is_current() -> None:
    made = "make it with: python -m api.jobs.reference > docs/reference/job.md"
    assert (ROOT / "docs" / "reference" / "job.md").read_text() == reference(), made


def test_the_page_about_the_space_document_is_current() -> None:
    made = "make it with: python -m api.spaces.reference > docs/reference/space.md"
    assert (ROOT / "docs" / "reference" / "space.md").read_text() == spaces.reference(), made


def test_every_field_of_a_space_stands_on_the_page() -> None:
    page = spaces.reference()
    for field in (*Space.model_fields, *Stage.model_fields, *Choices.model_fields):
        assert f"| `{field}` |" in page


def test_every_field_of_a_job_stands_on_the_page() -> None:
    page = reference()
    for field in JobDocument.model_fields:
        assert f"| `{field}` |" in page
    assert "## `search.temperature`" in page
    assert page.count("\n## `constraints`, ") == 5


@pytest.mark.parametrize("name", sorted(BLOCKS.keys() - OTHERS))
def test_a_job_document_in_the_pages_is_taken(name: str) -> None:
    JobDocument.model_validate(REQUIRED | BLOCKS[name])


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_what_is_listed_as_another_document_is_no_job(name: str) -> None:
    with pytest.raises(ValidationError):
        JobDocument.model_validate(REQUIRED | BLOCKS[name])
