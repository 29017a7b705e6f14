"""What somebody may see and do: the one place that decides it."""

from dataclasses import dataclass
from typing import ClassVar

from auth.errors import Forbidden
from auth.permissions import Permission
from auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which studies somebody may see; the catalog makes it a WHERE clause.

    What is not visible does not exist for them: it is answered as not found.

    Attributes
    ----------
    labels
        Only studies that carry one of these; None is all studies, the empty set none. Studies
        carry no labels yet, so `ALL` and `NONE` are the two that are given out.
    """

    labels: frozenset[str] | None

    ALL: ClassVar["Visibility"]
    """Every study."""
    NONE: ClassVar["Visibility"]
    """No study."""

    @property
    def is_all(self) -> bool:
        """Whether every study is visible, so that no clause is needed."""
        return self.labels is None

    @property
    def is_none(self) -> bool:
        """Whether no study is visible, so that no statement is needed."""
        return self.labels is not None and not self.labels


Visibility.ALL = Visibility(labels=None)
Visibility.NONE = Visibility(labels=frozenset())


class Policy:
    """Permissions → decisions."""

    def visibility(self, principal: Principal) -> Visibility:
        """Give the studies that `principal` may see."""
        return Visibility.ALL if principal.may(Permission.STUDIES_READ) else Visibility.NONE

    def require(self, principal: Principal, permission: Permission) -> None:
        """Pass when `principal` has `permission`.

        Raises
        ------
        Forbidden
            When they lack it.
        """
        if not principal.may(permission):
            raise Forbidden(permission)
