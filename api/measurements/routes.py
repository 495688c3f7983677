"""/v1/tables/{table}/measurements."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.bodies import body_of, described
from api.dependencies import Cursor, DeviceReader, Limit, Parts, Profiler
from api.measurements import service as measurements
from api.measurements.schemas import MeasurementView, NewMeasurements
from api.pages import Page
from api.tables import service as tables
from api.tables.schemas import CalibrationView

router = APIRouter(prefix="/v1/tables/{table_id}/measurements", tags=["tables"])


def _its_table(table_id: str, caller: Profiler, service: Parts) -> None:
    """Before a body of megabytes is read for it."""
    with service.database.read() as session:
        tables.get(session, caller.owner, table_id)


@router.post("", status_code=201, dependencies=[Depends(_its_table)], openapi_extra=described(NewMeasurements))
def add_measurements(
    table_id: str, caller: Profiler, service: Parts, new: Annotated[NewMeasurements, Depends(body_of(NewMeasurements))]
) -> CalibrationView:
    """Bring whole networks that the table's device timed; all are kept or none, the very same ones again once.

    The answer tells how far the table's predictions are off, over all networks that it has. Where a line through them
    helps on networks left out, predictions of jobs to come go by it.
    """
    with service.database.read() as session:
        checked = measurements.check(session, tables.get(session, caller.owner, table_id), new)
    with service.database.write() as session:
        table = tables.get(session, caller.owner, table_id)
        measurements.add(session, table, checked)
        return CalibrationView.model_validate(table.calibration)


@router.get("")
def list_measurements(
    table_id: str, caller: DeviceReader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[MeasurementView]:
    """List the networks that were measured for a table."""
    with service.database.read() as session:
        table = tables.get(session, caller.owner, table_id)
        found, following = measurements.list_page(session, table, cursor=cursor, limit=limit)
        return Page(items=[MeasurementView.model_validate(row) for row in found], next_cursor=following)
