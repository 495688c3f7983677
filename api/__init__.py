"""The service: its domains, its storage, its faces. Never imports torch."""
