"""What the routes stand on: one object per application, filled while it runs."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archive.blobs import SupportsObservation
from archive.errors import CatalogUnavailable
from archive.settings import AuthMode, Settings
from auth import Policy, Principal, Unauthenticated
from auth.tokens import Tokens

if TYPE_CHECKING:
    from archive.archive import Archive
    from dicomweb.metrics import Metrics
    from dicomweb.pictures import Pictures

_BEARER = "bearer "


@dataclass(slots=True)
class Services:
    """Settings, policy, figures, what draws, and the archive once it is open."""

    settings: Settings
    metrics: "Metrics"
    pictures: "Pictures"
    policy: Policy = field(default_factory=Policy)
    anonymous: Principal = field(default_factory=Principal.anonymous)
    opened: "Archive | None" = None
    tokens: Tokens | None = None

    @property
    def archive(self) -> "Archive":
        """The archive; raises `CatalogUnavailable` before it is open and after it is closed."""
        if self.opened is None:
            raise CatalogUnavailable("the archive is not open yet, or is closing")
        return self.opened

    def open(self, archive: "Archive") -> None:
        """Take the archive into use."""
        self.tokens = Tokens(
            archive.database.sessions, cache_seconds=self.settings.token_cache_seconds
        )
        if isinstance(archive.blobs, SupportsObservation):
            archive.blobs.observe(self.metrics.block_cache)
        self.opened = archive

    @property
    def _known_tokens(self) -> Tokens:
        if self.tokens is None:
            raise CatalogUnavailable("the archive is not open yet")
        return self.tokens

    def recall(self, authorization: str | None) -> Principal | None:
        """Tell who is asking from memory alone.

        Returns
        -------
        Principal or None
            None when it has to be looked up: call `authenticate`, in a thread.

        Raises
        ------
        Unauthenticated
            When a token is required and there is none, or one that is known to be wrong.
        """
        if self.settings.auth is AuthMode.OPEN:
            return self.anonymous
        return self._known_tokens.recall(_bearer(authorization))

    def authenticate(self, authorization: str | None) -> Principal:
        """Tell who is asking.

        Raises
        ------
        Unauthenticated
            When a token is required and there is none that works.
        TokensUnavailable
            When it would have to be looked up and the database does not answer.
        """
        if self.settings.auth is AuthMode.OPEN:
            return self.anonymous
        return self._known_tokens.authenticate(_bearer(authorization))


def _bearer(authorization: str | None) -> str:
    """Give the token of an Authorization field (RFC 6750 §2.1)."""
    if authorization is None:
        raise Unauthenticated("an API token is needed", shown=False)
    if authorization[: len(_BEARER)].lower() != _BEARER:
        message = "the Authorization header has to be of the form 'Bearer <token>'"
        raise Unauthenticated(message, shown=False)
    return authorization[len(_BEARER) :].strip()
