"""The page on latency tables is true."""

import re
from pathlib import Path

from latency.formats import read_csv, read_json
from latency.formats.columns import INFO_FIELDS, KNOWN

PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "latency-tables.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_examples_are_tables_and_the_same_one() -> None:
    assert read_csv(block("csv").splitlines(keepends=True)) == read_json(block("json"))


def test_every_column_and_every_fact_about_a_table_is_explained() -> None:
    words = set(re.findall(r"`(\w+)`", PAGE))
    assert words >= {*KNOWN, *INFO_FIELDS}
