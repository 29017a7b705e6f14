"""Who is asking and what they may do. A leaf: knows nothing of the archive."""

from auth.errors import AuthError, Forbidden, ForeignRequest, Unauthenticated
from auth.permissions import OPEN_PERMISSIONS, ROLES, Permission
from auth.policy import Policy, Visibility
from auth.principal import Principal, PrincipalKind

__all__ = [
    "OPEN_PERMISSIONS",
    "ROLES",
    "AuthError",
    "Forbidden",
    "ForeignRequest",
    "Permission",
    "Policy",
    "Principal",
    "PrincipalKind",
    "Unauthenticated",
    "Visibility",
]
