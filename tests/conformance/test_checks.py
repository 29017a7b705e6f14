"""Our own service, by the checks that anybody can run against any service."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from conformance.checks import CHECKS, Check, Status, attempt, selected
from conformance.checks.collection import MAKERS

if TYPE_CHECKING:
    from conformance.checks.bench import Bench
    from tests.support.http import LiveServer


@pytest.mark.parametrize("check", CHECKS.values(), ids=list(CHECKS))
def test_the_service_passes(check: Check, bench: Bench) -> None:
    result = attempt(check, bench)
    if result.status is Status.SKIPPED:
        pytest.skip(result.why)
    assert result.status is Status.PASSED, f"{check.demand} ({check.cites}): {result.why}"


def test_every_sample_can_be_stored(bench: Bench) -> None:
    assert bench.refusals == {}
    assert {sample.name for sample in bench.stored()} == set(MAKERS)


def test_every_check_cites_and_demands_in_a_sentence() -> None:
    for check in CHECKS.values():
        assert re.fullmatch(r"[a-z0-9()-]+(\.[a-z0-9-]+)+", check.id), check.id
        assert len(check.demand) > 5, check.id
        if check.source == "standard":
            assert re.match(r"(PS3\.\d+|RFC \d+|Table) ?", check.cites), check.cites
        else:
            assert re.search(r"[A-Za-z]{4}", check.cites), check.cites


def test_checks_are_selected_by_category_and_by_beginning() -> None:
    assert {one.category for one in selected(["search"])} == {"Search"}
    assert [one.id for one in selected(ids=["frames.stored-rle"])] == ["frames.stored-rle"]
    assert not list(selected(["nothing of the kind"]))


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["check", *words])


def test_the_command_prints_results_and_says_by_its_status_whether_all_passed(
    guarded: LiveServer, token: str
) -> None:
    only = ["--only", "metadata.empty", "--only", "metadata.names-latin"]
    done = run(guarded.dicomweb, "--token", token, *only, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert {one["status"] for one in report["results"]} == {"passed"}
    assert len(report["results"]) == 5
    assert report["left_behind"] == []

    done = run(guarded.url + "/nothing", "--token", token, *only)
    assert done.exit_code == 0
    assert "could not be stored" in done.stdout
    assert re.search(r"Metadata\W+0\W+0\W+5", done.stdout), done.stdout


def test_a_service_that_is_not_there_or_lets_nobody_in_is_told(guarded: LiveServer) -> None:
    for url, told in (
        ("http://127.0.0.1:9/dicomweb", "nobody listens"),
        (guarded.dicomweb, "it wants a token"),
        ("ftp://nowhere", "not an http or https URL"),
    ):
        done = run(url)
        assert done.exit_code == 1
        assert told in done.stderr
