"""All tables of the database: importing this module makes `Base.metadata` complete."""

from api.architectures.models import DerivedArchitecture
from api.artifacts.models import Artifact
from api.audit.models import AuditEntry
from api.auth.models import Token
from api.datasets.models import Dataset
from api.db.base import Base
from api.devices.models import Device
from api.jobs.models import Checkpoint, ComparedNetwork, JobAttempt, JobEvent, JobLabel, SearchJob, ServiceLease
from api.measurements.models import MeasuredNetwork
from api.requests.models import DeviceRequest
from api.spaces.models import SearchSpace
from api.tables.models import Table, TableRow
from api.webhooks.models import Webhook, WebhookDelivery

__all__ = [
    "Artifact", "AuditEntry", "Base", "Checkpoint", "ComparedNetwork", "Dataset", "DerivedArchitecture", "Device",
    "DeviceRequest", "JobAttempt", "JobEvent", "JobLabel", "MeasuredNetwork", "SearchJob", "SearchSpace",
    "ServiceLease", "Table", "TableRow", "Token", "Webhook", "WebhookDelivery",
]  # fmt: skip
