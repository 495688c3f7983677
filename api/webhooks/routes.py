"""/v1/webhooks."""

from fastapi import APIRouter, Response

from api.dependencies import Cursor, Limit, Parts, Reader, Submitter
from api.pages import Page
from api.webhooks import service as webhooks
from api.webhooks.schemas import DeliveryView, MadeWebhook, NewWebhook, WebhookView

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post("", status_code=201)
def create_webhook(new: NewWebhook, caller: Submitter, service: Parts, response: Response) -> MadeWebhook:
    """Name a URL that is told what becomes of your jobs. Its secret is in this answer, and nowhere else."""
    with service.database.write() as session:
        row, secret = webhooks.create(session, caller.owner, new, private=service.settings.webhook_private)
        made = MadeWebhook(secret=secret, **WebhookView.model_validate(row).model_dump())
    response.headers["Cache-Control"] = "no-store"
    return made


@router.get("")
def list_webhooks(caller: Reader, service: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[WebhookView]:
    """List your webhooks, newest first."""
    with service.database.read() as session:
        found, following = webhooks.list_page(session, caller.owner, cursor=cursor, limit=limit)
        return Page(items=[WebhookView.model_validate(row) for row in found], next_cursor=following)


@router.get("/{webhook_id}")
def read_webhook(webhook_id: str, caller: Reader, service: Parts) -> WebhookView:
    """Read a webhook."""
    with service.database.read() as session:
        return WebhookView.model_validate(webhooks.get(session, caller.owner, webhook_id))


@router.delete("/{webhook_id}", status_code=204)
def remove_webhook(webhook_id: str, caller: Submitter, service: Parts) -> None:
    """Remove a webhook with its deliveries. What is on its way may still arrive."""
    with service.database.write() as session:
        webhooks.remove(session, caller.owner, webhook_id)


@router.post("/{webhook_id}/ping", status_code=202)
def ping_webhook(webhook_id: str, caller: Submitter, service: Parts) -> DeliveryView:
    """Send a message of the event `ping`, to try the way. Its delivery tells what came of it."""
    with service.database.write() as session:
        return webhooks.view(webhooks.ping(session, caller.owner, webhook_id))


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    webhook_id: str, caller: Reader, service: Parts, limit: Limit = 100, cursor: Cursor = None
) -> Page[DeliveryView]:
    """List what was told to a webhook and what waits, newest first, with what became of each try."""
    with service.database.read() as session:
        found, following = webhooks.list_deliveries(session, caller.owner, webhook_id, cursor=cursor, limit=limit)
        return Page(items=[webhooks.view(row) for row in found], next_cursor=following)


@router.post("/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202)
def redeliver(webhook_id: str, delivery_id: str, caller: Submitter, service: Parts) -> DeliveryView:
    """Send a message once more, under the same id."""
    with service.database.write() as session:
        return webhooks.view(webhooks.redeliver(session, caller.owner, webhook_id, delivery_id))
