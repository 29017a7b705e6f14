"""Every error that `auth` raises, with the facts as attributes."""

from auth.permissions import Permission


class AuthError(Exception):
    """Base of all that `auth` raises."""


class Unauthenticated(AuthError):
    """Nobody known is asking: no token, or one that is wrong, expired or revoked.

    The last three cannot be told apart from outside, so that a guess teaches nothing.

    Attributes
    ----------
    shown
        Whether a token was shown, right or wrong (RFC 6750 §3.1).
    """

    def __init__(self, message: str = "a valid API token is needed", *, shown: bool = True) -> None:
        super().__init__(message)
        self.shown = shown


class Forbidden(AuthError):
    """We know who is asking, and they may not do this."""

    def __init__(self, permission: Permission) -> None:
        super().__init__(f"this needs the permission {permission.value!r}")
        self.permission = permission


class ForeignRequest(AuthError):
    """Authentication is off, and the request is not one of this machine under its own name."""

    def __init__(self, header: str, value: str) -> None:
        super().__init__(
            f"without authentication only this machine is answered, and {header} says "
            f"{value[:80]!r}: set COVERSLIP_AUTH=required, or COVERSLIP_PUBLIC_URL to the address "
            "by which the archive is reached"
        )
        self.header = header
        self.value = value


class UnknownRole(AuthError):
    """No role has this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no role {name!r}; roles are {', '.join(known)}")
        self.name = name
        self.known = known


class TokenNameTaken(AuthError):
    """A token that still works has this name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"a token named {name!r} exists already: revoke it, or take another name")
        self.name = name


class UnknownToken(AuthError):
    """No token that still works has this name or identifier."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no working token {name!r}: `coverslip token list` shows them")
        self.name = name


class TokensUnavailable(AuthError):
    """The database that keeps the tokens does not answer."""
