"""What is wrong with a token, or with what it asks for.

DomainError
├── Unauthorized       401  unauthorized: no token, or one that nobody made
│   ├── TokenExpired   401  token-expired
│   └── TokenRevoked   401  token-revoked
├── Forbidden          403  forbidden: `missing_scopes` names what would do, where a scope is what lacks
├── TooManyRequests    429  too-many-requests: `retry_after_seconds`, and Retry-After
└── NotFound
    └── TokenUnknown   404  unknown-token
"""

from api.errors import DomainError, NotFound


class Unauthorized(DomainError):
    """No token, or one that nobody made."""

    status = 401
    slug = "unauthorized"
    title = "Unauthorized"


class TokenExpired(Unauthorized):
    """The token's time is over."""

    slug = "token-expired"
    title = "Token expired"


class TokenRevoked(Unauthorized):
    """Somebody took the token back."""

    slug = "token-revoked"
    title = "Token revoked"


class Forbidden(DomainError):
    """The token is good, but not for this."""

    status = 403
    slug = "forbidden"
    title = "Forbidden"


class TooManyRequests(DomainError):
    """The token asked more often than it may."""

    status = 429
    slug = "too-many-requests"
    title = "Too many requests"


class TokenUnknown(NotFound):
    """No token of that id."""

    slug = "unknown-token"
    title = "Unknown token"
