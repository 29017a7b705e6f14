from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archive.configuration import load
from archive.errors import MalformedSettings, UnsafeSettings
from archive.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("COVERSLIP_"):
            monkeypatch.delenv(name)


def test_each_source_stands_above_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> tuple[int, str]:
        loaded = load({"port": flag}, folder=tmp_path)
        return loaded.settings.port, loaded.origins["port"]

    flag = None
    assert found() == (8080, "default")
    (tmp_path / "coverslip.toml").write_text("port = 1001\n")
    assert found() == (1001, str(tmp_path / "coverslip.toml"))
    (tmp_path / ".env").write_text("COVERSLIP_PORT=1002\nSOMEBODY_ELSES=1\n")
    assert found() == (1002, str(tmp_path / ".env"))
    monkeypatch.setenv("COVERSLIP_PORT", "1003")
    assert found() == (1003, "environment")
    flag = 1004
    assert found() == (1004, "flag")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COVERSLIP_DATABASE_URL", "")
    assert load(folder=tmp_path).settings.database_url is None


def test_another_toml_file_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text('max_instance_bytes = "2GiB"\ncors_origins = ["https://a.example.org"]\n')
    monkeypatch.setenv("COVERSLIP_CONFIG", str(other))
    loaded = load(folder=tmp_path)
    assert loaded.settings.max_instance_bytes == 2 * 2**30
    assert loaded.settings.cors_origins == ("https://a.example.org",)
    assert loaded.origins["cors_origins"] == str(other)


def test_a_named_toml_file_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVERSLIP_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(MalformedSettings, match=r"gone\.toml"):
        load(folder=tmp_path)


def test_an_unknown_variable_fails_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVERSLIP_PROT", "1")
    with pytest.raises(MalformedSettings, match=r"COVERSLIP_PROT \(environment\).*COVERSLIP_PORT"):
        load(folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [(".env", "COVERSLIP_DATADIR=x\n"), ("coverslip.toml", 'datadir = "x"\n')],
)
def test_an_unknown_name_in_a_file_fails_with_its_place(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MalformedSettings, match=r"COVERSLIP_DATADIR.*COVERSLIP_DATA_DIR") as caught:
        load(folder=tmp_path)
    assert str(tmp_path / name) in str(caught.value)


def test_toml_that_is_none_fails_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "coverslip.toml").write_text("port = = 1\n")
    with pytest.raises(MalformedSettings, match=r"coverslip\.toml cannot be read"):
        load(folder=tmp_path)


def test_a_wrong_value_names_the_setting_and_its_origin_but_not_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVERSLIP_DATABASE_URL", "mysql://root:pass-word@host/db")
    with pytest.raises(MalformedSettings) as caught:
        load(folder=tmp_path)
    assert "COVERSLIP_DATABASE_URL (environment)" in str(caught.value)
    assert "pass-word" not in str(caught.value)


def test_what_does_not_go_together_is_unsafe(tmp_path: Path) -> None:
    with pytest.raises(UnsafeSettings):
        load({"blobs": "s3://bucket"}, folder=tmp_path)


def test_secrets_are_masked_where_settings_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVERSLIP_DATABASE_URL", "postgresql://me:pass-word@db:5433/slides")
    monkeypatch.setenv("COVERSLIP_S3_SECRET_KEY", "very-secret")
    rows = {name: value for name, value, _ in load(folder=tmp_path).described()}
    assert rows["COVERSLIP_DATABASE_URL"] == "postgresql://me:********@db:5433/slides"
    assert rows["COVERSLIP_S3_SECRET_KEY"] == "********"
    assert len(rows) == len(Settings.model_fields)


def test_a_child_process_loads_the_very_same_settings(tmp_path: Path) -> None:
    (tmp_path / "coverslip.toml").write_text("workers = 3\n")
    settings = load(
        {
            "port": 9123,
            "data_dir": tmp_path / "data",
            "database_url": "postgresql://u:p%40ss@h/db",
            "cors_origins": "https://a.example.org,*",
            "conversion_memory_bytes": "1GiB",
        },
        folder=tmp_path,
    ).settings
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "from archive.configuration import load\n"
            "print(sorted(load().settings.environment().items()))",
        ],
        cwd=elsewhere,
        env={**os.environ, **settings.environment()},
        check=True,
        capture_output=True,
        text=True,
    )
    assert child.stdout.strip() == str(sorted(settings.environment().items()))
