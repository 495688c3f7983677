"""Webhooks: where an owner's jobs are told of, an outbox of what is to be told, and the postman who takes it there."""
