"""Devices as people write and read them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from search.document import Document, Name
from search.spec import Labels


class NewDevice(Document):
    """A device to register. Jobs name it by `name`."""

    name: Name
    description: Annotated[str, Field(max_length=2000)] = ""
    labels: Labels = Field(default_factory=dict)


class DeviceView(BaseModel):
    """A device."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    owner: str
    name: str
    description: str
    labels: dict[str, str]
    created_at: datetime
