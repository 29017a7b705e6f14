"""Storing into a test's archive, and archives over both kinds of blob store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from archive.archive import Archive, open_archive
from archive.model.identifiers import InstancePath
from archive.model.instances import Origin, StagedFile, StoreOutcome
from auth import Principal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

    from archive.blobs.location import ObjectLocation
    from archive.model.identifiers import StudyUid
    from archive.settings import Settings

BY = Principal.service("tests")


def stage(archive: Archive, content: bytes) -> StagedFile:
    """Bring bytes into the scratch of an archive."""
    with archive.staging.receive() as writer:
        writer.write(content)
        return writer.finish()


def store(archive: Archive, content: bytes, *, study: StudyUid | None = None) -> StoreOutcome:
    """Store one file."""
    return archive.store(stage(archive, content), by=BY, origin=Origin.STOW, study=study)


def path_of(dataset: Dataset) -> InstancePath:
    """Give the path of an instance by its header."""
    return InstancePath.parse(
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
    )


def minio_settings(settings: Settings, location: ObjectLocation) -> Settings:
    """Give the same settings with the blobs in a bucket."""
    return settings.model_copy(
        update={
            "blobs": f"s3://{location.bucket}/instances",
            "s3_endpoint": location.endpoint,
            "s3_access_key": location.access_key,
            "s3_secret_key": SecretStr(location.secret_key),
        }
    )


@pytest.fixture(params=["folder", "minio"])
def any_settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings of an empty archive over each kind of blob store."""
    if request.param == "folder":
        return settings
    return minio_settings(settings, request.getfixturevalue("minio_bucket"))


@pytest.fixture
def any_archive(any_settings: Settings) -> Iterator[Archive]:
    """An empty archive over each kind of blob store."""
    with open_archive(any_settings) as opened:
        yield opened
