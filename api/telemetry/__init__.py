"""The service seen from outside: logs, metrics, traces. Workers use it too: only its routes know FastAPI."""
