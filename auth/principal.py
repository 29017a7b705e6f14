"""Who is asking: a value that every verb of the archive takes."""

import getpass
import os
from dataclasses import dataclass
from enum import StrEnum

from auth.permissions import OPEN_PERMISSIONS, Permission


class PrincipalKind(StrEnum):
    """How we came to know who is asking."""

    ANONYMOUS = "anonymous"
    """Nobody was asked for a token (`COVERSLIP_AUTH=open`)."""
    TOKEN = "token"  # noqa: S105 — a kind, not a secret
    """An API token was shown."""
    OPERATOR = "operator"
    """Whoever runs the command on the machine that holds the data."""
    SERVICE = "service"
    """A part of the archive itself, such as the job worker."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, and what they may do."""

    id: str
    """Stable: `token:<identifier>`, `operator:<login>`, `service:<name>`, `anonymous`."""
    name: str
    """For people to read."""
    kind: PrincipalKind
    permissions: frozenset[Permission]

    def may(self, permission: Permission) -> bool:
        """Tell whether `permission` is among theirs."""
        return permission in self.permissions

    @classmethod
    def anonymous(cls) -> "Principal":
        """Give the one who asks where no token is asked for (`COVERSLIP_AUTH=open`)."""
        return cls("anonymous", "anonymous", PrincipalKind.ANONYMOUS, OPEN_PERMISSIONS)

    @classmethod
    def operator(cls) -> "Principal":
        """Give whoever runs this process by hand; they can read the data folder anyway."""
        login = _login()
        return cls(f"operator:{login}", login, PrincipalKind.OPERATOR, frozenset(Permission))

    @classmethod
    def service(cls, name: str) -> "Principal":
        """Give a part of the archive that works on its own, such as the job worker."""
        return cls(f"service:{name}", name, PrincipalKind.SERVICE, frozenset(Permission))


def _login() -> str:
    """Name of the user of this process; its number where it has none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError until Python 3.12, OSError from 3.13
        return str(os.getuid())
