"""A table's file read row by row: only what finds duplicates is kept."""

from collections.abc import Iterable, Iterator
from typing import NoReturn

from latency.formats.columns import RowParser, Value
from latency.formats.errors import ErrorList, TableError
from latency.operator import Operator, OperatorError
from latency.table import NOISY, Entry, FieldError, LatencyTable, TableInfo

Cells = tuple[int, RowParser, tuple[Value, ...]]
Row = tuple[Operator, Entry]


class TableStream(Iterator[Row]):
    """Gives (operator, entry) by and by, and raises TableErrors at the end, or at the ten thousandth error, if any row
    was wrong: then take none.

    `warnings` grows while rows are read: entries that are taken but deserve a second look.
    """

    def __init__(self, info: TableInfo, rows: Iterable[Cells], errors: ErrorList) -> None:
        """`rows` may note errors of its own in `errors`, for rows that it cannot cut into cells."""
        self.info = info
        self.place = 0  # of the row given last: what an error or a warning calls it
        self._warnings = ErrorList(errors.place, most=None)
        self._rows = self._read(rows, errors)

    def __next__(self) -> Row:
        return next(self._rows)

    @property
    def warnings(self) -> list[TableError]:
        """The first 50 warnings so far."""
        return self._warnings.kept

    def table(self) -> LatencyTable:
        """All that is left as one table."""
        return LatencyTable(self.info, self)

    def _read(self, rows: Iterable[Cells], errors: ErrorList) -> Iterator[Row]:
        seen: dict[Operator, int] = {}
        for number, parser, cells in rows:
            try:
                operator, entry = parser.parse(cells)
            except (OperatorError, FieldError) as error:
                errors.add(number, error.field, error.problem)
                continue
            first = seen.setdefault(operator, number)
            if first != number:
                errors.add(number, "", f"repeats {operator.key}, which stands first in {self._warnings.place} {first}")
                continue
            if entry.relative_spread > NOISY:
                spread = f"p10 to p90 spread over {entry.relative_spread:.0%} of the latency: measure it again"
                self._warnings.add(number, "p90", spread)
            self.place = number
            yield operator, entry
        if not seen and not errors.count:
            errors.add(None, "rows", "the table is empty")
        errors.raise_any()


def refuse(errors: ErrorList, row: int | None, detail: str) -> NoReturn:
    """Notes a last error about the file as such, and raises all."""
    errors.add(row, "", detail)
    errors.raise_any()
    raise AssertionError("an error was noted")
