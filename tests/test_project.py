"""The project as a whole: its layers, its lock file, its scripts and what its pages promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from archive.configuration import CONFIG_NAME
from archive.settings import PREFIX, Settings
from scripts import search_page, settings_page

ROOT = Path(__file__).resolve().parents[1]


def tracked() -> list[Path]:
    answer = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return [path for name in answer.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def find(script: str, *, path: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the finders seeing only the programs in `path`, and what lies under `home`."""
    return subprocess.run(
        [str(ROOT / "scripts" / script)],
        env={"PATH": f"{path}:/usr/bin:/bin", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def shims(tmp_path: Path) -> Path:
    """A folder of Pythons that are named well and fail when run, hiding those of the system."""
    folder = tmp_path / "shims"
    for name in ("python3.13", "python3.12", "python3.14", "python"):
        program(folder / name, "echo 'pyenv: command not found' >&2; exit 127")
    program(folder / "python3", "echo 'is Python 3.9' >&2; exit 1")
    return folder


def test_a_python_that_is_only_a_failing_shim_is_passed_over(shims: Path, tmp_path: Path) -> None:
    real = tmp_path / "home/.pyenv/versions/3.13.9/bin/python"
    real.parent.mkdir(parents=True)
    real.symlink_to(sys.executable)
    found = find("find-python", path=shims, home=tmp_path / "home")
    assert found.returncode == 0, found.stderr
    assert str(shims) not in found.stdout
    version = subprocess.run(
        [found.stdout.strip(), "-c", "import sys; print(sys.version_info >= (3, 12))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert version.stdout.strip() == "True"


def test_where_no_python_fits_each_one_tried_is_named_with_its_reason(
    shims: Path, tmp_path: Path
) -> None:
    if any(Path("/usr/local/bin").glob("python3.1[2-4]")):
        pytest.skip("this machine has a fitting Python where the finder always looks")
    found = find("find-python", path=shims, home=tmp_path)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "needs Python 3.12 or newer" in found.stderr
    assert "python3.13: pyenv: command not found" in found.stderr
    assert "python3: is Python 3.9" in found.stderr
    assert "SETUP_PYTHON=" in found.stderr


def test_a_node_that_is_too_old_or_fails_is_passed_over(tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    program(shims / "node", "echo 18.20.4")
    program(shims / "nodejs", "exit 127")
    good = tmp_path / ".nvm/versions/node/v22.14.0/bin"
    program(good / "node", "echo 22.14.0")
    program(good / "npm", "echo 10.9.2")
    found = find("find-node", path=shims, home=tmp_path)
    assert found.stdout.strip() == str(good), found.stderr


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("20.18.3", False),
        ("20.19.0", True),
        ("21.7.0", False),
        ("22.11.0", False),
        ("24.1.0", True),
    ],
)
def test_node_must_be_one_the_page_builds_with(version: str, fits: bool, tmp_path: Path) -> None:
    program(tmp_path / "bin/node", f"echo {version}")
    program(tmp_path / "bin/npm", "echo 10")
    found = subprocess.run(
        [str(ROOT / "scripts/find-node")],
        env={**os.environ, "SETUP_NODE": str(tmp_path / "bin/node")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode == 0) is fits, found.stderr


@pytest.mark.parametrize("name", ["requirements.lock", "tests/clients/ez-wsi.lock"])
def test_a_lock_names_no_host_and_no_place_of_a_machine(name: str) -> None:
    assert re.findall(r"\S*://\S*|(?<= )/\S+", (ROOT / name).read_text()) == []


def test_the_lock_pins_every_dependency_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    names = re.findall(r"^([a-z0-9][a-z0-9._-]*)==[^ ]+", lock, re.MULTILINE)
    assert "--index-url" not in lock
    assert "--find-links" not in lock
    for entry in re.split(r"\n(?=[a-z0-9])", lock.split("\n", 2)[2]):
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    for requirement in wanted:
        name = re.split(r"[\[>=<;! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        assert name in names, f"{name} is not locked: run make lock"


def test_no_tracked_file_names_a_registry_or_somebodys_machine() -> None:
    # Put together here, so that this file does not name them either.
    forbidden = ["/wo" + "rk/", "/ro" + "ot/", "registry." + "npmjs", "files.python" + "hosted"]
    forbidden += ["pypi." + "org/simple", "proxy.golang" + ".org"]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked()
        for word in forbidden
        if word.encode() in path.read_bytes()
    ]
    assert found == []


def test_the_page_of_settings_is_what_the_settings_are() -> None:
    assert settings_page.PAGE.read_text() == settings_page.page(), (
        "run: python -m scripts.settings_page"
    )


def test_every_setting_that_a_page_names_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG_NAME}
    pages = [path for path in tracked() if path.suffix == ".md"]
    assert pages
    for page in pages:
        for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]+", page.read_text()):
            assert name.rstrip("_") in known, f"{page.name} names {name}"


def test_every_link_within_the_pages_leads_somewhere() -> None:
    for page in (path for path in tracked() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_arrows_between_packages_only_point_down() -> None:
    checked = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_what_the_scripts_say_is_there_can_be_run() -> None:
    for script in [*(ROOT / "scripts").glob("[a-z]*"), ROOT / ".ci/run"]:
        if script.is_file() and script.suffix == "":
            assert os.access(script, os.X_OK), f"{script.name} is not executable"
            checked = subprocess.run(
                ["bash", "-n", str(script)], capture_output=True, text=True, check=False
            )
            assert checked.returncode == 0, checked.stderr


def test_the_page_of_search_has_the_attributes_that_are_indexed() -> None:
    text = search_page.PAGE.read_text(encoding="utf-8")
    assert text == search_page.page(text), "run python -m scripts.search_page"
