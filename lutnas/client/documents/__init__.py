"""The documents of the API as its answers carry them. A field that a newer service adds passes through untouched."""

from lutnas.client.documents.access import AuditEntry, Delivery, MadeToken, MadeWebhook, Token, Webhook
from lutnas.client.documents.budgets import Metric, Predicted, Reachable, Validation
from lutnas.client.documents.datasets import Dataset, Input
from lutnas.client.documents.devices import Claim, Coverage, Device, DeviceRequest, Lease, RequestState, Table
from lutnas.client.documents.document import Document
from lutnas.client.documents.jobs import (
    FINAL_STATES,
    Attempt,
    ComparedFile,
    ComparedNetwork,
    Difference,
    Event,
    Forecast,
    Job,
    Progress,
    Reproduction,
    State,
)
from lutnas.client.documents.results import Architecture, Artifact, Derivation, Derived, LayerReport

__all__ = [
    "FINAL_STATES",
    "Architecture",
    "Artifact",
    "Attempt",
    "AuditEntry",
    "Claim",
    "ComparedFile",
    "ComparedNetwork",
    "Coverage",
    "Dataset",
    "Delivery",
    "Derivation",
    "Derived",
    "Device",
    "DeviceRequest",
    "Difference",
    "Document",
    "Event",
    "Forecast",
    "Input",
    "Job",
    "LayerReport",
    "Lease",
    "MadeToken",
    "MadeWebhook",
    "Metric",
    "Predicted",
    "Progress",
    "Reachable",
    "Reproduction",
    "RequestState",
    "State",
    "Table",
    "Token",
    "Validation",
    "Webhook",
]
