from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.command import Command


def test_a_token_lets_in_until_it_is_revoked(coverslip: Command) -> None:
    made = coverslip.run("token", "create", "scanner-3", "--role", "reader", "--expires", "1h")
    secret = made.stdout.strip()
    assert re.fullmatch(r"cvs_[A-Za-z0-9_-]{43}", secret)
    with coverslip.server(auth="required", token_cache_seconds="0") as server:
        refused = server.get("/dicomweb/studies")
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert server.get("/dicomweb/studies", token="cvs_" + "x" * 43).status == 401
        assert server.get("/dicomweb/studies", token=secret).status in {200, 204}
        assert coverslip.run("token", "revoke", "scanner-3").returncode == 0
        assert server.get("/dicomweb/studies", token=secret).status == 401
        assert secret not in server.said


def test_a_token_without_the_permission_is_forbidden(coverslip: Command) -> None:
    secret = coverslip.run("token", "create", "prometheus", "--role", "monitor").stdout.strip()
    with coverslip.server(auth="required") as server:
        assert server.get("/metrics", token=secret).status == 200
        assert server.get("/dicomweb/studies", token=secret).status == 403


def test_tokens_are_listed_without_their_secrets(coverslip: Command) -> None:
    secret = coverslip.run("token", "create", "a", "--expires", "never").stdout.strip()
    coverslip.run("token", "create", "b")
    coverslip.run("token", "revoke", "b")
    found = json.loads(coverslip.run("token", "list", "--json").stdout)
    assert {token["name"]: token["works"] for token in found} == {"a": True, "b": False}
    listed = coverslip.run("token", "list").stdout
    assert "revoked" in listed
    assert secret not in listed


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("create", "x", "--role", "superuser"), 2, "reader, contributor"),
        (("create", "x", "--expires", "soon"), 2, "90d"),
        (("create", "x", "--expires", "0d"), 2, "90d"),
        (("revoke", "nobody"), 1, "nobody"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    coverslip: Command, words: tuple[str, ...], status: int, said: str
) -> None:
    done = coverslip.run("token", *words)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_is_given_once(coverslip: Command) -> None:
    coverslip.run("token", "create", "twice")
    done = coverslip.run("token", "create", "twice")
    assert done.returncode == 1
    assert "twice" in done.stderr
    assert done.stdout == ""


def test_a_database_that_is_away_is_told_in_one_line(bare_coverslip: Command) -> None:
    done = bare_coverslip.run("token", "list", database_url="postgresql://u:pw@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "database" in done.stderr
    assert "pw@" not in done.stderr
    assert done.stderr.count("\n") == 1
