"""API tokens: made, listed, revoked, and recognised.

A token is `cvs_` and 256 random bits. It is shown once, when it is made; the database keeps its
SHA-256. What was looked up is remembered for a few seconds, so that a client that reads a slide
does not cost a database query a tile; a revocation shows when those seconds are over.
"""

import base64
import contextlib
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from auth.errors import (
    TokenNameTaken,
    TokensUnavailable,
    Unauthenticated,
    UnknownRole,
    UnknownToken,
)
from auth.permissions import ROLES
from auth.principal import Principal, PrincipalKind
from auth.tables import TokenRow

SECRET_BYTES = 32
_UNREACHABLE = (DBAPIError, PoolTimeout)
_SECRET = re.compile(r"cvs_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Token:
    """What may be shown of a token."""

    id: UUID
    name: str
    role: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    """None: never."""
    revoked_at: datetime | None

    def works(self, now: datetime) -> bool:
        """Tell whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def principal(self) -> Principal:
        """Give the one who shows this token."""
        # A role that a later release knows and this one does not allows nothing here.
        permissions = ROLES.get(self.role, frozenset())
        return Principal(f"token:{self.id}", self.name, PrincipalKind.TOKEN, permissions)


@dataclass(frozen=True, slots=True)
class _Remembered:
    token: Token | None
    """None: the database knows no such token."""
    principal: Principal | None
    until: float


class Tokens:
    """The API tokens of one archive. Safe between threads.

    Parameters
    ----------
    sessions
        Makes sessions on the database that holds `auth.tables`.
    cache_seconds
        How long what was looked up is believed.
    cache_entries
        How many tokens are remembered; wrong ones have as many places of their own, so that
        guessing pushes nobody out.
    now
        Gives the time, UTC.
    clock
        Gives seconds that never go back.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        *,
        cache_seconds: float = 5.0,
        cache_entries: int = 1024,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._cache_seconds = cache_seconds
        self._cache_entries = cache_entries
        self._now = now
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._unknown: OrderedDict[bytes, _Remembered] = OrderedDict()

    def create(
        self, name: str, role: str, *, by: Principal, expires_at: datetime | None = None
    ) -> tuple[Token, str]:
        """Make a token.

        Returns
        -------
        tuple of Token and str
            The token, and its secret, which cannot be had again.

        Raises
        ------
        UnknownRole, TokenNameTaken, TokensUnavailable
        """
        if role not in ROLES:
            raise UnknownRole(role, tuple(ROLES))
        random = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        secret = f"cvs_{random}"
        row = TokenRow(
            id=uuid4(),
            name=name,
            role=role,
            secret_sha256=_digest(secret),
            created_at=self._now(),
            created_by=by.id,
            expires_at=expires_at,
            revoked_at=None,
        )
        try:
            with self._sessions.begin() as session:
                session.add(row)
                session.flush()
                token = _value(row)
        except IntegrityError as error:
            raise TokenNameTaken(name) from error
        except _UNREACHABLE as error:
            raise _unavailable(error) from error
        return token, secret

    def list_all(self) -> list[Token]:
        """Give every token that was ever made, the newest first."""
        try:
            with self._sessions.begin() as session:
                rows = session.scalars(select(TokenRow).order_by(TokenRow.created_at.desc()))
                return [_value(row) for row in rows]
        except _UNREACHABLE as error:
            raise _unavailable(error) from error

    def revoke(self, name_or_id: str) -> Token:
        """Make a token stop working, everywhere within the seconds that caches live.

        Raises
        ------
        UnknownToken
            When no token that is not revoked has this name or identifier.
        """
        condition = TokenRow.name == name_or_id
        with contextlib.suppress(ValueError):  # a name, then
            condition |= TokenRow.id == UUID(name_or_id)
        try:
            with self._sessions.begin() as session:
                row = session.scalars(
                    select(TokenRow)
                    .where(condition, TokenRow.revoked_at.is_(None))
                    .with_for_update()
                ).first()
                if row is None:
                    raise UnknownToken(name_or_id)
                row.revoked_at = self._now()
                token, digest = _value(row), row.secret_sha256
        except _UNREACHABLE as error:
            raise _unavailable(error) from error
        with self._lock:
            self._known.pop(digest, None)
        return token

    def authenticate(self, secret: str) -> Principal:
        """Recognise who shows this secret; touches no database when it was seen a moment ago.

        Raises
        ------
        Unauthenticated
            When it is no token, or one that is revoked or expired.
        TokensUnavailable
            When it would have to be looked up and the database does not answer.
        """
        principal = self.recall(secret)
        if principal is not None:
            return principal
        digest = _digest(secret)
        entry = self._look_up(digest)
        cache = self._unknown if entry.token is None else self._known
        with self._lock:
            cache[digest] = entry
            cache.move_to_end(digest)
            while len(cache) > self._cache_entries:
                cache.popitem(last=False)
        return self._judge(entry)

    def recall(self, secret: str) -> Principal | None:
        """Recognise a secret from memory alone, for the path that must not wait.

        Returns
        -------
        Principal or None
            None when it has to be looked up: call `authenticate`, in a thread.

        Raises
        ------
        Unauthenticated
            When it is known to be wrong.
        """
        if _SECRET.fullmatch(secret) is None:
            raise Unauthenticated
        digest = _digest(secret)
        with self._lock:
            for cache in (self._known, self._unknown):
                entry = cache.get(digest)
                if entry is not None and self._clock() < entry.until:
                    cache.move_to_end(digest)
                    break
            else:
                return None
        return self._judge(entry)

    def _judge(self, entry: _Remembered) -> Principal:
        """Look at the expiry on each use: it comes while a token is remembered."""
        if entry.token is None or entry.principal is None or not entry.token.works(self._now()):
            raise Unauthenticated
        return entry.principal

    def _look_up(self, digest: bytes) -> _Remembered:
        # Taken before the query: what is revoked while it runs is believed no longer than promised.
        until = self._clock() + self._cache_seconds
        try:
            with self._sessions.begin() as session:
                row = session.scalars(
                    select(TokenRow).where(TokenRow.secret_sha256 == digest)
                ).one_or_none()
                # The index was searched by hash, whose timing tells nothing of the secret; the
                # comparison is there for a database that compares by other rules than ours.
                if row is None or not hmac.compare_digest(row.secret_sha256, digest):
                    return _Remembered(None, None, until)
                token = _value(row)
        except _UNREACHABLE as error:
            raise _unavailable(error) from error
        return _Remembered(token, token.principal(), until)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _value(row: TokenRow) -> Token:
    return Token(
        row.id, row.name, row.role, row.created_at, row.created_by, row.expires_at, row.revoked_at
    )


def _unavailable(error: DBAPIError | PoolTimeout) -> TokensUnavailable:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return TokensUnavailable(f"the database that keeps the tokens does not answer: {cause}")
