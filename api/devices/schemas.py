"""Devices as people write and read them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from search.document import Document, Name
from search.spec import Label, LabelName


class NewDevice(Document):
    """A device to register. Jobs name it by `name`."""

    name: Name
    description: Annotated[str, Field(max_length=2000)] = ""
    labels: dict[LabelName, Label] = Field(default_factory=dict, max_length=64)


class DeviceView(BaseModel):
    """A device."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    owner: str
    name: str
    description: str
    labels: dict[str, str]
    created_at: datetime
