from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.command import Command


def test_every_setting_is_listed_with_where_it_came_from(bare_coverslip: Command) -> None:
    (bare_coverslip.folder / "coverslip.toml").write_text("port = 1001\nworkers = 2\n")
    (bare_coverslip.folder / ".env").write_text("COVERSLIP_PORT=1002\nCOVERSLIP_HOST=::1\n")
    done = bare_coverslip.run("settings", "--json", "--data-dir", "here", port="1003")
    found = json.loads(done.stdout)
    assert found["COVERSLIP_PORT"] == {"value": "1003", "origin": "environment"}
    assert found["COVERSLIP_HOST"]["origin"].endswith("/bare/.env")
    assert found["COVERSLIP_WORKERS"]["origin"].endswith("/bare/coverslip.toml")
    assert found["COVERSLIP_DATA_DIR"] == {
        "value": str(bare_coverslip.folder / "here"),
        "origin": "flag",
    }
    assert found["COVERSLIP_AUTH"] == {"value": "open", "origin": "default"}


def test_secrets_are_masked(bare_coverslip: Command) -> None:
    done = bare_coverslip.run(
        "settings", database_url="postgresql://u:pass-word@h/db", s3_secret_key="very-secret"
    )
    assert done.returncode == 0
    assert "pass-word" not in done.stdout
    assert "very-secret" not in done.stdout
    assert "postgresql://u:********@h/db" in done.stdout


def test_an_unknown_variable_is_told_in_one_line(bare_coverslip: Command) -> None:
    done = bare_coverslip.run("settings", potr="1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "COVERSLIP_POTR" in done.stderr
    assert "COVERSLIP_PORT" in done.stderr


def test_settings_are_explained_when_asked(bare_coverslip: Command) -> None:
    done = bare_coverslip.run("settings", "--explain")
    assert "TCP port to listen on." in done.stdout
