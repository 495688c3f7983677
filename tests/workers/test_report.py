"""What a worker says of a real, small search."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.artifacts.store import ArtifactStore, StoredFile
from api.jobs.lease import Lease
from api.jobs.pins import DatasetSource, JobInputs, PinnedTable
from latency.correction import Correction, corrected
from search.budgets import budgets_of
from search.choices import Choices
from search.machine import use_threads
from search.outcome import Result
from search.report.card import NETWORK, Measured, ReportCard
from search.run import SearchRun
from search.spec import Distillation
from tests.search.builders import tiny_digits, tiny_space, tiny_spec
from tests.search.report.cards import table_of
from workers.report import MEDIA_TYPES, by_metric, card_of, figure_rows, versions, write_reports

CORRECTION = Correction(1.5, 0.98)
MEASURED = (Measured(what=NETWORK, latency_us=12.5, where="on the worker"),)
MADE_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobInputs, SearchRun, Result]:
    """A search over float and integer layers, with what the job was submitted with."""
    use_threads(1)
    space = tiny_space().offering(Choices(precision=("fp32", "w8a8")))
    finish = tiny_spec().finish.model_copy(update={"distillation": Distillation(epochs=1)})
    spec = tiny_spec().model_copy(update={"finish": finish})
    table = table_of(space)
    inputs = JobInputs(
        spec=spec, space=space, tables={0: corrected(table, CORRECTION)}, threads=1,
        pinned_tables={0: PinnedTable("tbl_1", table.content_hash, CORRECTION)},
        dataset=DatasetSource("digits", "d" * 64, None),
    )  # fmt: skip
    budgets = budgets_of(space, inputs.spec.constraints, inputs.tables)
    run = SearchRun(inputs.spec, space=space, data=tiny_digits(), budgets=budgets)
    for _ in run:
        pass
    return inputs, run, run.export(tmp_path_factory.mktemp("result"))


@pytest.fixture
def stored(done: tuple[JobInputs, SearchRun, Result], tmp_path: Path) -> list[StoredFile]:
    store = ArtifactStore(tmp_path)
    return [store.put(file.name, file, media_type=MEDIA_TYPES[file.suffix]) for file in done[2].files]


@pytest.fixture
def card(done: tuple[JobInputs, SearchRun, Result], stored: list[StoredFile]) -> ReportCard:
    inputs, run, result = done
    return card_of(
        Lease("job_1", 3, "worker"), inputs, run, result, stored, measured=MEASURED,
        environment={"torch": "2", "threads": 1}, pace={"search": 0.1}, made_at=MADE_AT,
    )  # fmt: skip


def test_the_card_is_that_of_the_job_and_its_result(
    card: ReportCard, done: tuple[JobInputs, SearchRun, Result]
) -> None:
    inputs, _, result = done
    assert (card.job, card.attempts, card.made_at, card.spec) == ("job_1", 3, MADE_AT, inputs.spec)
    assert (card.test_accuracy, card.test_top5) == (result.test_metric, result.top5)
    assert (card.accuracy_before, card.top5_before) == (result.before, result.top5_before)
    assert (card.teacher_accuracy, card.float_accuracy) == (result.teacher, result.float_metric)
    assert card.teacher_accuracy is not None
    assert (card.measured, card.notes) == (MEASURED, result.notes)
    assert [figure.model_dump() for figure in card.budgets] == figure_rows(inputs, result.predicted)
    assert [layer.name for layer in card.layers] == [choice.name for choice in result.architecture.layers]
    total_us = sum(row.latency_us or 0.0 for row in (*card.layers, *card.fixed))
    assert total_us == pytest.approx(by_metric(inputs, "predicted", result.predicted)["predicted_latency_us"]["pi4"])


def test_tables_are_pinned_by_the_hash_they_were_uploaded_with_and_say_how_they_were_corrected(
    card: ReportCard, done: tuple[JobInputs, SearchRun, Result]
) -> None:
    inputs, _, _ = done
    assert card.pins.tables == (inputs.pinned_tables[0].content_hash,)
    assert card.pins.tables[0] != inputs.tables[0].content_hash
    assert card.tables[0].correction == {"offset_us": 1.5, "scale": 0.98}


def test_all_files_but_the_reports_are_listed_with_their_checksums(
    card: ReportCard, stored: list[StoredFile], tmp_path: Path
) -> None:
    assert [(file.name, file.sha256) for file in card.files] == [(file.name, file.sha256) for file in stored]
    written = write_reports(card, tmp_path)
    assert [path.name for path in written] == ["report.json", "report.html"]
    assert [MEDIA_TYPES[path.suffix] for path in written] == ["application/json", "text/html"]
    assert not {file.name for file in card.files} & {path.name for path in written}
    document = json.loads((tmp_path / "report.json").read_text())
    assert ReportCard.model_validate(document) == card
    assert document["environment"] == {"torch": "2", "threads": 1, **versions()}
    assert "</html>" in (tmp_path / "report.html").read_text()
