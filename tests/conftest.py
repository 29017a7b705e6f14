"""Servers that tests share: started once a session, and only when a test asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.archives import any_archive, any_settings  # noqa: F401 - fixtures
from tests.support.browser import browser, chromium, launch  # noqa: F401 - fixtures
from tests.support.database import (  # noqa: F401 - fixtures
    archive,
    database,
    database_template,
    database_url,
    empty_database_url,
    postgres_server,
    settings,
)
from tests.support.minio_server import MinioServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.blobs.location import ObjectLocation


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """A MinIO server; tests do not stop it, those that want to start one of their own."""
    with MinioServer(tmp_path_factory.mktemp("minio") / "data") as server:
        yield server


@pytest.fixture
def minio_bucket(minio_server: MinioServer) -> ObjectLocation:
    """An empty bucket."""
    return minio_server.bucket()
