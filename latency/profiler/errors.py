"""What stops a profile.

Errors:
    ProfilerError (RuntimeError)    the runtime is missing or cannot run a graph, or a draft is of another profile
"""


class ProfilerError(RuntimeError):
    """A profile or measurement cannot be made; the message says what to do."""
