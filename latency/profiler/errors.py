"""What stops a profile.

Errors:
    ProfilerError (RuntimeError)    the runtime is missing or cannot run a graph
    DraftError (ProfilerError)      a draft is of another profile, or none
"""


class ProfilerError(RuntimeError):
    """A profile or measurement cannot be made; the message says what to do."""


class DraftError(ProfilerError):
    """What was kept of a profile is of another one, or damaged."""
