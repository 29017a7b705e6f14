from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ByteSize, SecretStr, ValidationError

from archive.blobs import CacheLocation, FolderLocation, ObjectLocation
from archive.errors import UnsafeSettings
from archive.settings import AuthMode, Settings, is_loopback

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is to be refused

S3: dict[str, Any] = {
    "blobs": "s3://slides/pathology/a",
    "s3_endpoint": "https://minio.example.org:9000",
    "s3_access_key": "access",
    "s3_secret_key": "very-secret",
}


def test_the_default_is_one_folder_reached_from_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.data_dir == tmp_path / "coverslip-data"
    assert settings.blob_location == FolderLocation(
        settings.data_dir / "blobs", settings.data_dir / "staging"
    )
    assert settings.local_url == "http://127.0.0.1:8080"
    settings.check_safe_to_serve()


def test_settings_made_directly_read_nothing_from_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COVERSLIP_PORT", "9999")
    assert Settings().port == 8080


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.4", "slides.example.org", ""])
def test_another_address_without_authentication_is_refused(host: str) -> None:
    with pytest.raises(UnsafeSettings, match=r"COVERSLIP_AUTH=required.*token create"):
        Settings(host=host).check_safe_to_serve()


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.4", "slides.example.org"])
def test_another_address_with_authentication_is_fine(host: str) -> None:
    Settings(host=host, auth=AuthMode.REQUIRED).check_safe_to_serve()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("localhost.example.org", False),
        (EVERYWHERE, False),
        ("10.0.0.1", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_bucket_with_endpoint_and_keys_is_a_location() -> None:
    assert Settings(**S3).blob_location == ObjectLocation(
        "https://minio.example.org:9000",
        "slides",
        "pathology/a",
        "access",
        "very-secret",
        "us-east-1",
        CacheLocation(Path("coverslip-data/block-cache").absolute(), 10 * 1024**3),
    )


def test_a_block_cache_can_be_switched_off_and_put_elsewhere(tmp_path: Path) -> None:
    off = Settings(**S3, block_cache_bytes=ByteSize(0)).blob_location
    assert isinstance(off, ObjectLocation)
    assert off.cache is None
    there = Settings(
        **S3, block_cache_bytes=ByteSize(64 * 1024**2), block_cache=tmp_path
    ).blob_location
    assert isinstance(there, ObjectLocation)
    assert there.cache == CacheLocation(tmp_path, 64 * 1024**2)


@pytest.mark.parametrize("size", [1, 15 * 1024**2, -1])
def test_a_block_cache_that_could_hold_nothing_is_refused(size: int) -> None:
    with pytest.raises(ValidationError):
        Settings(block_cache_bytes=ByteSize(size))


@pytest.mark.parametrize("missing", ["s3_endpoint", "s3_access_key", "s3_secret_key"])
def test_a_bucket_without_endpoint_or_keys_says_which_to_set(missing: str) -> None:
    given = {name: value for name, value in S3.items() if name != missing}
    with pytest.raises(UnsafeSettings, match=f"COVERSLIP_{missing.upper()}"):
        Settings(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("blobs", "s3://"),
        ("blobs", "s3://UPPER/x"),
        ("blobs", "s3://bucket/../other"),
        ("blobs", "https://bucket/prefix"),
        ("s3_endpoint", "minio:9000"),
        ("s3_endpoint", "http://minio/path"),
        ("public_url", "slides.example.org"),
        ("public_url", "https://"),
        ("public_url", "https://slides.example.org/?a=b"),
        ("public_url", "https://me:secret@slides.example.org"),
        ("cors_origins", "https://viewer.example.org/path"),
        ("cors_origins", "viewer.example.org"),
        ("database_url", "mysql://localhost/x"),
        ("port", 0),
        ("port", 70000),
        ("auth", "maybe"),
        ("workers", 0),
        ("max_instance_bytes", "-1"),
        ("conversion_memory_bytes", "12MiB"),
        ("unknown", 1),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Settings(**{**S3, name: value})


def test_sizes_may_have_units() -> None:
    assert Settings(max_instance_bytes="4GiB").max_instance_bytes == 4 * 2**30  # type: ignore[arg-type]  # as read from outside


def test_a_public_url_ends_without_a_slash_and_may_have_a_path() -> None:
    settings = Settings(public_url="https://slides.example.org/coverslip/")
    assert settings.public_url == "https://slides.example.org/coverslip"


def test_origins_are_separated_by_commas() -> None:
    settings = Settings(cors_origins="https://a.example.org, http://localhost:3000/")  # type: ignore[arg-type]  # as read from outside
    assert settings.cors_origins == ("https://a.example.org", "http://localhost:3000")


def test_folders_are_absolute_so_that_a_child_elsewhere_means_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=Path("data"), blobs="blobs", staging=Path("scratch"))
    assert settings.data_dir == tmp_path / "data"
    assert settings.blob_location == FolderLocation(tmp_path / "blobs", tmp_path / "scratch")


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert Settings(host="::1").local_url == "http://[::1]:8080"


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.port = 1


def test_no_secret_is_shown_when_settings_are_printed() -> None:
    settings = Settings(**S3, database_url=SecretStr("postgresql://u:pass-word@h/db"))
    assert "very-secret" not in repr(settings)
    assert "pass-word" not in repr(settings)


def test_every_setting_is_explained() -> None:
    for name, field in Settings.model_fields.items():
        assert len(field.description or "") > 20, name
        if name.endswith("_bytes"):
            assert re.search(r"\bbytes\b", field.description or ""), name
