"""Real timings by onnxruntime, few and short."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from latency.estimate import predict_us
from latency.graph import chain
from latency.operator import BASE, Operator, with_boundaries
from latency.profiler import ProfilerError, measure_model, profile
from latency.profiler.measure import LEAST_ROUNDS, Patience
from latency.profiler.plan import make_plan
from latency.table import FieldError, LatencyTable
from latency.weights import random_weights

STEM = Operator("stem", 16, 16, 1, 0, 16, 2, 3)
BLOCKS = [Operator("mbconv", 8, 8, 16, 16 * e, 16, 1, k, g) for e, k, g in ((1, 3, 1), (3, 5, 1), (1, 3, 2))]
HEAD = Operator("head", 8, 8, 16, 32, 10)
OPERATORS = [BASE, STEM, *BLOCKS, HEAD]
SHORT = Patience(least=0.5, most=2.0)
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def short_profile(**options: object) -> LatencyTable:
    return profile(OPERATORS, device="here", patience=SHORT, now=lambda: NOW, **options)  # type: ignore[arg-type]


def test_a_profile_covers_its_operators_in_the_unit_that_networks_are_measured_in(tmp_path: Path) -> None:
    table = short_profile(note="bench")
    assert table.missing(OPERATORS) == []
    assert all(entry.latency_us > 0 and entry.samples >= LEAST_ROUNDS for entry in table.entries.values())
    assert (table.info.device, table.info.runtime, table.info.threads) == ("here", "onnxruntime", 1)
    assert table.info.runtime_version == onnxruntime.__version__
    assert table.info.measured_at == NOW
    told = r"bench; 10th percentile of thread CPU time, \d+\.\d+ times that on the wall; "
    assert re.match(told, table.info.note), table.info.note
    network = [STEM, BLOCKS[1], BLOCKS[0], BLOCKS[1], HEAD]
    rng = np.random.default_rng(0)
    path = tmp_path / "model.onnx"
    onnx.save(chain(network, [random_weights(o, rng) for o in network], map(str, range(5)), batch="N"), path)
    measured = measure_model(path, patience=SHORT)
    assert measured.latency_us == measured.p10_us <= measured.p50_us <= measured.p90_us
    assert measured.samples >= 100
    # Both in microseconds. How close they are is for `table_fidelity` to judge, where fast moments are waited for.
    assert 0.1 < predict_us(table, network) / measured.latency_us < 10


def test_integer_operators_are_timed_and_changes_of_format_get_rows() -> None:
    integer = [replace(block, weight_bits=8, activation_bits=8) for block in BLOCKS]
    table = profile([STEM, *BLOCKS, *integer, HEAD], device="here", patience=SHORT)
    boundaries = {o for o in table if o.kind == "boundary"}
    assert boundaries == {Operator("boundary", 8, 8, 16, activation_bits=bits) for bits in (8, 32)}
    assert all(table.latency_us(operator) > 0 for operator in integer)
    assert table.missing(with_boundaries([STEM, BLOCKS[0], integer[1], HEAD])) == []


def test_progress_ends_at_its_total_with_no_time_left() -> None:
    seen: list[tuple[int, int, float]] = []
    short_profile(progress=lambda *numbers: seen.append(numbers))
    done = [numbers[0] for numbers in seen]
    assert done == [*range(1, len(done)), len(done) - 1]
    assert all(done <= total and left >= 0 for done, total, left in seen)
    assert seen[-1] == (done[-1], done[-1], 0.0)


def test_a_stopped_profile_goes_on_from_its_draft_which_stays(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int, seconds_left: float) -> None:
        if done == 100:
            raise Stopped

    draft = tmp_path / "draft"
    with pytest.raises(Stopped):
        short_profile(draft=draft, progress=stop)
    with draft.open("a") as file:
        file.write("3,123")  # cut off by the end of the power
    counted: list[int] = []
    with pytest.raises(FieldError, match="1001 characters; 1000 are taken"):
        short_profile(draft=draft, note="x" * 1001)
    table = short_profile(draft=draft, note="quiet", progress=lambda done, total, left: counted.append(total))
    assert table.info.note.startswith("quiet; 10th percentile")
    graphs = len(make_plan(OPERATORS, seed=0).graphs)
    assert table.missing(OPERATORS) == []
    assert counted[-1] >= graphs * LEAST_ROUNDS - 100
    assert len(draft.read_text().splitlines()) == 1 + 100 + counted[-1]  # whole lines, until the table is kept


def test_the_samples_of_a_draft_count(tmp_path: Path) -> None:
    draft = tmp_path / "draft"

    def keep(done: int, total: int, left: float) -> None:
        if left == 0.0 and done == total:
            (tmp_path / "kept").write_text(draft.read_text())

    first = short_profile(draft=draft, progress=keep)
    lines = (tmp_path / "kept").read_text().splitlines()
    graph, *calls = lines[1].split(",")
    draft.write_text("\n".join([lines[0], *lines[1:]]) + "\n" + ",".join([graph, *calls]) + "\n")
    again = profile(OPERATORS, device="here", patience=Patience(0.0, 0.0), draft=draft)
    assert again.entries[BASE].samples == first.entries[BASE].samples + len(calls)


def test_a_core_that_is_not_there_is_refused_with_those_that_are() -> None:
    allowed = sorted(os.sched_getaffinity(0))
    with pytest.raises(ProfilerError, match=f"core 9999: .* may run on {', '.join(map(str, allowed))}"):
        short_profile(core=9999)
    with pytest.raises(ProfilerError, match="2 threads would wait for one another there"):
        short_profile(core=allowed[-1], threads=2)
    table = short_profile(core=allowed[-1])
    assert sorted(os.sched_getaffinity(0)) == allowed
    assert f"thread CPU time on core {allowed[-1]}, " in table.info.note


def test_a_draft_of_another_profile_is_refused_and_kept(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.write_text("lutnas profile draft,0123456789abcdef\n0,100\n")
    with pytest.raises(ProfilerError, match="is no draft of this profile: delete it, or name another file"):
        short_profile(draft=draft)
    assert draft.exists()


def test_a_draft_of_another_core_is_refused(tmp_path: Path) -> None:
    draft = tmp_path / "draft"

    def stop(done: int, total: int, seconds_left: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        short_profile(draft=draft, progress=stop, core=max(os.sched_getaffinity(0)))
    with pytest.raises(ProfilerError, match="is no draft of this profile"):
        short_profile(draft=draft)
    assert len(draft.read_text().splitlines()) == 2


def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(ProfilerError, match=r"model\.onnx: onnxruntime .* cannot load it"):
        measure_model(path)
