"""The page about the job document, made from its schema: python -m api.jobs.reference > docs/reference/job.md"""

from inspect import getdoc

from api.jobs.document import JobDocument
from api.schema_page import sections
from search.spec import SearchSpec

_HEAD = """# The job document

What `lutnas jobs submit` and `POST /v1/search-jobs` take, as JSON. `space`, `dataset` and `constraints` have to be
given, all else has a default; a field that nobody knows is refused. Names in brackets, as in (search.finalists), are
modules of the code that does it, not fields.
"""


def reference() -> str:
    """The page as Markdown."""
    schema = JobDocument.model_json_schema()
    whole = {**schema, "description": f"{getdoc(SearchSpec)}\n\n{schema['description']}"}
    return _HEAD + sections("The job", whole)


if __name__ == "__main__":
    print(reference(), end="")
