"""What is wrong with a table's file, by row.

Errors:
    TableErrors (ValueError)    the file is no table; `.errors` holds the first 50, `.count` is the number of all, or
                                MOST, where reading stops
"""

from typing import Literal, NamedTuple

KEPT = 50  # enough to see a pattern; a file with a wrong unit would fail in all of its 100,000 rows
SHOWN = 5
MOST = 10_000  # whoever sends a file of bad rows alone should not keep a reader busy to its end

Place = Literal["line", "row"]


class TableError(NamedTuple):
    """One thing that is wrong. `row` is None where it concerns the whole table, `field` empty where the whole row.

    `row` is the line of a CSV file as an editor shows it (from 1), or the index into `rows` of a JSON file (from 0).
    """

    row: int | None
    field: str
    detail: str


class TableErrors(ValueError):
    """A file that is no table. `place` tells what a `row` counts: "line" of a CSV file, or "row" of JSON `rows`."""

    def __init__(self, errors: list[TableError], count: int, place: Place) -> None:
        self.errors = errors
        self.count = count
        self.place = place
        lines = [self.describe(error) for error in errors[:SHOWN]]
        if count > SHOWN:
            lines.append(f"and {count - SHOWN} more" + (", where reading stopped" if count >= MOST else ""))
        super().__init__("; ".join(lines))

    def describe(self, error: TableError) -> str:
        """One error as a sentence: `line 17: latency_us: -3.0 is negative`, `rows[15]: latency_us: ...`."""
        where = "" if error.row is None else f"line {error.row}" if self.place == "line" else f"rows[{error.row}]"
        return ": ".join(part for part in (where, error.field, error.detail) if part)


class ErrorList:
    """Collects errors while a file is read: keeps the first 50, counts the rest, raises TableErrors at the `most`th."""

    def __init__(self, place: Place, most: int | None = MOST) -> None:
        self.kept: list[TableError] = []
        self.count, self.most = 0, most
        self.place: Place = place

    def add(self, row: int | None, field: str, detail: str) -> None:
        """Notes one error."""
        self.count += 1
        if len(self.kept) < KEPT:
            self.kept.append(TableError(row, field, detail))
        if self.count == self.most:
            self.raise_any()

    def raise_any(self) -> None:
        """Raises TableErrors if anything was noted."""
        if self.count:
            raise TableErrors(self.kept, self.count, self.place)
