"""Latency tables: stored whole or not at all, never changed.

Errors:
    TableUnknown (NotFound)   404  unknown-table
    and those of api.tables.upload
"""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.audit.trail import about
from api.auth.callers import Owner
from api.devices.models import Device
from api.errors import NotFound
from api.ids import new_id
from api.paging import page
from api.tables.models import Table
from api.tables.rows import insert_rows, load_entries
from api.tables.upload import CheckedTable
from latency.operator import Operator
from latency.table import LatencyTable
from search.space import Space


class TableUnknown(NotFound):
    """No table of that id."""

    slug = "unknown-table"
    title = "Unknown table"


def store(session: Session, device: Device, checked: CheckedTable) -> tuple[Table, bool]:
    """Stores a table as the device's next version.

    One with the same content answers instead: then the second part is False.
    """
    owner = session.scalars(select(Device).where(Device.id == device.id).with_for_update()).one()
    same = select(Table).where(Table.device_id == owner.id, Table.content_hash == checked.content_hash)
    standing = session.scalars(same).one_or_none()
    if standing is not None:
        return standing, False
    owner.last_version += 1
    info = checked.info
    table = Table(
        id=new_id("tbl"), owner=owner.owner, device_id=owner.id, version=owner.last_version, rows=checked.rows,
        content_hash=checked.content_hash, device_name=info.device, runtime=info.runtime,
        runtime_version=info.runtime_version, threads=info.threads, batch=info.batch, measured_at=info.measured_at,
        note=info.note, created_at=datetime.now(UTC),
    )  # fmt: skip
    session.add(table)
    session.flush()
    insert_rows(session, table.id, checked.groups())
    about(session, table.id)
    return table, True


def get(session: Session, owner: Owner, table_id: str) -> Table:
    """A table that `owner` sees; raises TableUnknown."""
    table = session.get(Table, table_id)
    if table is None or not owner.sees(table.owner) or not owner.reaches(table.device_id):
        raise TableUnknown(f"There is no table {table_id!r}: `GET /v1/devices/DEVICE/tables` lists a device's.")
    return table


def of_device(session: Session, device: Device) -> list[Table]:
    """All tables of a device, oldest first."""
    return list(session.scalars(select(Table).where(Table.device_id == device.id).order_by(Table.version)))


def list_page(session: Session, device: Device, *, cursor: str | None, limit: int) -> tuple[list[Table], str | None]:
    """The tables of a device, newest first."""
    tables = select(Table).where(Table.device_id == device.id)
    return page(session, tables, Table.version, cursor=cursor, limit=limit, newest_first=True)


def entries_for(session: Session, table: Table, space: Space) -> LatencyTable:
    """What `table` knows of the operators of `space`, corrected where it is."""
    return load_entries(session, table, space.operators(identities=True))


def missing(session: Session, table: Table, space: Space) -> list[Operator]:
    """The operators that `space` needs and `table` lacks."""
    return entries_for(session, table, space).missing(space.operators())
