from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, select

from auth import Permission, Principal, PrincipalKind, Unauthenticated
from auth.errors import TokenNameTaken, TokensUnavailable, UnknownRole, UnknownToken
from auth.permissions import ROLES
from auth.tables import TokenRow
from auth.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.catalog.database import Database

OPERATOR = Principal.operator()
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def seconds(self) -> float:
        return self.passed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(database: Database, clock: Clock) -> Tokens:
    return Tokens(
        database.sessions, cache_seconds=5, cache_entries=3, now=clock.now, clock=clock.seconds
    )


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """Every statement that the database was sent."""
    sent: list[str] = []

    def remember(connection: object, cursor: object, statement: str, *rest: object) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", remember)
    yield sent
    event.remove(database.engine, "before_cursor_execute", remember)


def test_a_secret_is_recognised_with_the_permissions_of_its_role(tokens: Tokens) -> None:
    token, secret = tokens.create("scanner-3", "contributor", by=OPERATOR)
    principal = tokens.authenticate(secret)
    assert principal == Principal(
        f"token:{token.id}", "scanner-3", PrincipalKind.TOKEN, ROLES["contributor"]
    )
    assert not principal.may(Permission.TOKENS_MANAGE)


def test_the_database_does_not_hold_the_secret(tokens: Tokens, database: Database) -> None:
    _, secret = tokens.create("viewer", "reader", by=OPERATOR)
    with database.begin() as session:
        row = session.scalars(select(TokenRow)).one()
        kept = repr([getattr(row, column.key) for column in TokenRow.__table__.columns])
    assert secret not in kept
    assert secret.removeprefix("cvs_") not in kept
    assert len(row.secret_sha256) == 32


@pytest.mark.parametrize(
    "secret", ["", "cvs_", "cvs_" + "A" * 43, "Bearer", "cvs_" + "A" * 4000, "cvs_é" + "A" * 42]
)
def test_what_is_no_token_of_ours_is_nobody(tokens: Tokens, secret: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret)


def test_a_token_ends_on_its_day_even_while_it_is_remembered(tokens: Tokens, clock: Clock) -> None:
    _, secret = tokens.create(
        "short", "reader", by=OPERATOR, expires_at=START + timedelta(seconds=2)
    )
    tokens.authenticate(secret)
    clock.passed = 1.9
    tokens.authenticate(secret)
    clock.passed = 2
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret)
    with pytest.raises(Unauthenticated):
        tokens.recall(secret)


def test_a_revoked_token_stops_at_once_where_it_was_revoked(tokens: Tokens) -> None:
    _, secret = tokens.create("lost", "reader", by=OPERATOR)
    tokens.authenticate(secret)
    tokens.revoke("lost")
    with pytest.raises(Unauthenticated):
        tokens.authenticate(secret)


def test_a_revoked_token_stops_elsewhere_when_the_cache_has_lived(
    tokens: Tokens, database: Database, clock: Clock
) -> None:
    elsewhere = Tokens(database.sessions, cache_seconds=5, now=clock.now, clock=clock.seconds)
    token, secret = tokens.create("lost", "reader", by=OPERATOR)
    elsewhere.authenticate(secret)
    tokens.revoke(str(token.id))
    clock.passed = 4.9
    elsewhere.authenticate(secret)
    clock.passed = 5
    with pytest.raises(Unauthenticated):
        elsewhere.authenticate(secret)


def test_a_token_seen_a_moment_ago_touches_no_database(
    tokens: Tokens, statements: list[str]
) -> None:
    _, secret = tokens.create("viewer", "reader", by=OPERATOR)
    assert tokens.recall(secret) is None
    principal = tokens.authenticate(secret)
    statements.clear()
    for _ in range(100):
        assert tokens.authenticate(secret) == principal
        assert tokens.recall(secret) == principal
    assert statements == []


def test_a_wrong_token_is_looked_up_once(tokens: Tokens, statements: list[str]) -> None:
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            tokens.authenticate("cvs_" + "w" * 43)
    assert len([statement for statement in statements if "api_tokens" in statement]) == 1


def test_guessing_pushes_no_token_out_of_memory(tokens: Tokens, statements: list[str]) -> None:
    _, secret = tokens.create("viewer", "reader", by=OPERATOR)
    tokens.authenticate(secret)
    for number in range(50):
        with pytest.raises(Unauthenticated):
            tokens.authenticate(f"cvs_{number:043}")
    statements.clear()
    tokens.authenticate(secret)
    assert statements == []


def test_no_more_tokens_are_remembered_than_asked_for(
    tokens: Tokens, statements: list[str]
) -> None:
    secrets = [tokens.create(str(n), "reader", by=OPERATOR)[1] for n in range(5)]
    for secret in secrets:
        tokens.authenticate(secret)
    statements.clear()
    assert [tokens.recall(secret) is not None for secret in secrets] == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert statements == []


def test_a_name_is_taken_until_its_token_is_revoked(tokens: Tokens) -> None:
    _, first = tokens.create("scanner", "reader", by=OPERATOR)
    with pytest.raises(TokenNameTaken, match="scanner"):
        tokens.create("scanner", "admin", by=OPERATOR)
    tokens.revoke("scanner")
    _, second = tokens.create("scanner", "admin", by=OPERATOR)
    assert tokens.authenticate(second).may(Permission.TOKENS_MANAGE)
    with pytest.raises(Unauthenticated):
        tokens.authenticate(first)


def test_what_is_not_there_cannot_be_revoked(tokens: Tokens) -> None:
    tokens.create("once", "reader", by=OPERATOR)
    tokens.revoke("once")
    for name in ("once", "never", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(UnknownToken, match=name):
            tokens.revoke(name)


def test_an_unknown_role_is_refused_with_those_that_are_known(tokens: Tokens) -> None:
    with pytest.raises(UnknownRole, match="reader, contributor"):
        tokens.create("x", "superuser", by=OPERATOR)


def test_a_role_of_a_later_release_allows_nothing(tokens: Tokens, database: Database) -> None:
    _, secret = tokens.create("new", "reader", by=OPERATOR)
    with database.begin() as session:
        session.scalars(select(TokenRow)).one().role = "role-of-the-future"
    assert tokens.authenticate(secret).permissions == frozenset()


def test_all_tokens_are_listed_the_newest_first(tokens: Tokens, clock: Clock) -> None:
    tokens.create("old", "reader", by=OPERATOR)
    clock.passed = 60
    tokens.create("new", "admin", by=OPERATOR, expires_at=START + timedelta(days=1))
    tokens.revoke("old")
    found = tokens.list_all()
    assert [(token.name, token.role, token.works(clock.now())) for token in found] == [
        ("new", "admin", True),
        ("old", "reader", False),
    ]
    assert found[0].created_by == OPERATOR.id


def test_a_database_that_is_away_is_no_wrong_token(tokens: Tokens, database: Database) -> None:
    _, secret = tokens.create("viewer", "reader", by=OPERATOR)
    nowhere = database.url.set(query={"host": "/nonexistent", "port": "1"})
    away = type(database)(nowhere)
    try:
        with pytest.raises(TokensUnavailable):
            Tokens(away.sessions).authenticate(secret)
    finally:
        away.close()


def test_threads_may_authenticate_at_once(tokens: Tokens) -> None:
    secrets = [tokens.create(str(n), "reader", by=OPERATOR)[1] for n in range(6)]
    wrong: list[str] = []

    def work(turn: int) -> None:
        for step in range(40):
            number = (turn + step) % 6
            if tokens.authenticate(secrets[number]).name != str(number):
                wrong.append(secrets[number])

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
