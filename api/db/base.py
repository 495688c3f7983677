"""What all tables of the database share: names of constraints, types of columns."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, MetaData
from sqlalchemy.orm import DeclarativeBase

from api.db.types import StrictJson, StrictText, UtcTime


class Base(DeclarativeBase):
    """Integers have 64 bits, text and JSON are strict, times are UTC."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        int: BigInteger,
        str: StrictText,
        datetime: UtcTime,
        dict[str, Any]: StrictJson,
        list[Any]: StrictJson,
    }
