"""What the agent of a device gets to see because it was asked for it: networks to verify, and their models."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.architectures.models import DerivedArchitecture
from api.artifacts.models import Artifact
from api.requests.models import DeviceRequest

MODEL = "model.onnx"


def is_asked_to_verify(session: Session, device_id: str, architecture_id: str) -> bool:
    """Whether a request to the device, of whatever state, is about the architecture."""
    verifications = select(DeviceRequest.id).where(
        DeviceRequest.device_id == device_id,
        DeviceRequest.kind == "verify",
        DeviceRequest.spec["architecture"].as_string() == architecture_id,
    )
    return session.scalar(verifications.limit(1)) is not None


def may_fetch(session: Session, device_id: str, artifact_id: str) -> bool:
    """Whether the artifact is the model of an architecture that the device was asked to verify."""
    of_artifact = select(DerivedArchitecture.id).join(Artifact, Artifact.job_id == DerivedArchitecture.job_id)
    architecture_id = session.scalar(of_artifact.where(Artifact.id == artifact_id, Artifact.name == MODEL))
    return architecture_id is not None and is_asked_to_verify(session, device_id, architecture_id)
