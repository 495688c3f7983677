"""The page about the job document is current, and the job documents of other pages are taken."""

import json
import re
from pathlib import Path

import pytest

from api.jobs.document import JobDocument
from api.jobs.reference import reference

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REQUIRED = {
    "space": "fbnet-mini",
    "dataset": "fashion-mnist",
    "constraints": [{"metric": "latency", "device": "my-machine", "max_us": 130}],
}
EXAMPLES = [
    (f"{page.relative_to(ROOT)}-{number}", document)
    for page in PAGES
    for number, text in enumerate(re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL))
    if (document := json.loads(text)).keys() <= JobDocument.model_fields.keys()
]


def test_the_page_about_the_job_document_is_current() -> None:
    made = "make it with: python -m api.jobs.reference > docs/reference/job.md"
    assert (ROOT / "docs" / "reference" / "job.md").read_text() == reference(), made


def test_every_field_of_a_job_stands_on_the_page() -> None:
    page = reference()
    for field in JobDocument.model_fields:
        assert f"| `{field}` |" in page
    assert "## `search.temperature`" in page
    assert page.count("\n## `constraints`, ") == 5


@pytest.mark.parametrize("document", [one for _, one in EXAMPLES], ids=[name for name, _ in EXAMPLES])
def test_a_job_document_in_the_pages_is_taken(document: dict[str, object]) -> None:
    JobDocument.model_validate(REQUIRED | document)
