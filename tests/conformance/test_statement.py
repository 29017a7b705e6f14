"""The statement says what the code does, and everything that it claims is shown."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from conformance.checks import CHECKS
from conformance.claims import BY_ID, CLAIMS
from conformance.statement import PAGE, statement

TESTS = Path(__file__).resolve().parents[1]


def marked() -> set[str]:
    """Give the claims that tests are marked with."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        found |= set(re.findall(r'mark\.claim\("([^"]+)"\)', path.read_text()))
    return found


def test_every_claim_is_shown() -> None:
    shown = set(CHECKS)
    for claim in CLAIMS:
        for beginning in claim.checks:
            assert any(one.startswith(beginning) for one in shown), f"{claim.id}: {beginning}"
        assert claim.checks or claim.id in marked(), f"nothing shows {claim.id}"


def test_every_check_shows_a_claim_and_every_mark_names_one() -> None:
    beginnings = tuple(beginning for claim in CLAIMS for beginning in claim.checks)
    assert [check for check in CHECKS if not check.startswith(beginnings)] == []
    assert marked() <= set(BY_ID)
    assert len(BY_ID) == len(CLAIMS)


def test_the_written_statement_is_what_the_code_says() -> None:
    done = CliRunner().invoke(app, ["statement", "--check"])
    assert done.exit_code == 0, done.stderr
    assert CliRunner().invoke(app, ["statement"]).stdout == PAGE.read_text() == statement()
