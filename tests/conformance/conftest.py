"""A server as a hospital would run it, tokens and all, and the samples of the checks in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archive.settings import AuthMode, Settings
from auth import Principal
from conformance import checks
from tests.support.http import LiveServer, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.checks.bench import Bench


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that asks for tokens, and lets pages of every origin in."""
    data = tmp_path_factory.mktemp("checked")
    with running(Settings(data_dir=data, auth=AuthMode.REQUIRED, cors_origins=("*",))) as server:
        yield server


@pytest.fixture(scope="session")
def token(guarded: LiveServer) -> str:
    """What opens it."""
    tokens = guarded.archive.tokens
    return tokens.create("the checks", "curator", by=Principal.operator())[1]


@pytest.fixture(scope="session")
def bench(guarded: LiveServer, token: str) -> Iterator[Bench]:
    """A run of the checks against it."""
    with checks.prepared(checks.Service(guarded.dicomweb, token=token)) as prepared:
        yield prepared
