"""A worker takes a ring only when it is free.

Celery's own prefetching leaves one message more with a worker at work, which keeps it until its job is done, in hours
maybe, while another worker waits for just that ring. Celery's `worker_disable_prefetch` is for Redis alone; this does
the same on every transport that kombu itself keeps count for, so on folders too.
"""

from typing import Any

from celery import bootsteps
from celery.worker import state


class OneAtATime(bootsteps.StartStopStep):
    """A step of Celery's consumer, after the one that makes its channel: run anew for each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Lets the consumer of `parent` take messages only while none that it took is at work, and it is to stay."""
        counted = parent.task_consumer.channel.qos
        has_credit = counted.can_consume

        def can_consume() -> bool:
            # a message from before a reconnect may stand among the active ones alone
            is_at_work = bool(state.reserved_requests or state.active_requests)
            is_leaving = getattr(state, "should_stop", None) is not None  # celery-types thinks that it is always None
            return not is_at_work and not is_leaving and bool(has_credit())

        counted.can_consume = can_consume
