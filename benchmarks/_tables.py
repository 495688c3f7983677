"""Latency tables from files, and spaces and pictures that fit them: what the benchmarks of devices share."""

import csv
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from latency.formats import read_csv
from latency.operator import Operator
from latency.table import Entry, LatencyTable, TableInfo
from search.datasets import ImageData
from search.space import Input, Space, preset

PUBLIC_HEADER = "layer,op,h,w,c_in,c_out,stride,kernel,expansion,groups,latency_ms"
PUBLIC_SPACE = "fbnet-cifar"


class TableFileError(ValueError):
    """A file that holds no table for the spaces at hand."""


def read_table(file: Path) -> LatencyTable:
    """A table in our CSV, or in the public layout by layer with `base_ms` in the .json beside it."""
    with file.open(encoding="utf-8", newline="") as lines:
        if next(lines, "").strip() == PUBLIC_HEADER:
            return read_csv(public_csv(file, preset(PUBLIC_SPACE)))
        lines.seek(0)
        return read_csv(lines)


def public_csv(file: Path, space: Space) -> list[str]:
    """A public table in our columns.

    Its rows are relative to `skip` in the same layer, the rest of a network is the base: stem and head cost nothing
    beside it. What stands once a layer is averaged over the layers of one shape.
    """
    about = json.loads(file.with_suffix(".json").read_text())
    lines = [f"# device: {about['device']}", "# runtime: unknown", "# threads: 1", "# batch: 1"]
    lines += ["kind,h,w,c_in,expansion,c_mid,c_out,stride,kernel,groups,latency_ms,provenance"]
    lines += [f"base,,,,,,,,,,{about['base_ms']},published"]
    for o in (space.stem_operator, space.head_operator):
        numbers = (o.h, o.w, o.c_in, "", o.c_mid or "", o.c_out, o.stride or "", o.kernel or "", "")
        lines += [",".join(map(str, (o.kind, *numbers, 0.0, "published")))]
    found = dict[str, list[float]]()
    with file.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            before = ",".join(row[name] for name in ("op", "h", "w", "c_in", "expansion"))
            behind = ",".join(row[name] for name in ("c_out", "stride", "kernel", "groups"))
            found.setdefault(f"{before},,{behind}", []).append(float(row["latency_ms"]))
    return [*lines, *(f"{block},{statistics.fmean(ms):.9g},published" for block, ms in found.items())]


def simulated(device: str, latency_us: Callable[[Operator], float], space: Space) -> LatencyTable:
    """A table by a model of the device; nobody measured it."""
    info = TableInfo(device=device, runtime="model", threads=1, batch=1)
    return LatencyTable(info, {o: Entry(latency_us(o), provenance="simulated") for o in space.operators()})


def covered(table: LatencyTable, names: Iterable[str]) -> Space:
    """The first of the named presets that `table` has every operator of. Raises TableFileError."""
    spaces = [preset(name) for name in names]
    for space in spaces:
        if not table.missing(space.operators()):
            return space
    lacking = "; ".join(f"{space.name}: {len(table.missing(space.operators()))} operators lack" for space in spaces)
    raise TableFileError(f"the table of {table.info.device} covers none of the spaces ({lacking})")


def framed(data: ImageData, to: Input) -> ImageData:
    """The same pictures in the middle of larger ones, black around them; a grey one in every channel."""
    have = data.input
    if have == to:
        return data
    if have.channels not in (1, to.channels) or have.height > to.height or have.width > to.width:
        raise ValueError(f"{data.name}: pictures of {have} do not fit into {to}")

    def frame(x_NCHW: np.ndarray) -> np.ndarray:
        rows, columns = to.height - have.height, to.width - have.width
        edges = ((0, 0), (0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
        return np.pad(np.repeat(x_NCHW, to.channels // have.channels, axis=1), edges)

    return replace(data, x_train=frame(data.x_train), x_test=frame(data.x_test))
