from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.command import Command


def test_reindexing_says_how_much_and_by_what(coverslip: Command) -> None:
    done = coverslip.run("reindex", search_attributes="OperatorsName,PatientComments")
    assert done.returncode == 0
    assert "0 studies, series and instances indexed" in done.stdout
    assert "OperatorsName, PatientComments" in done.stdout
    wrong = coverslip.run("reindex", search_attributes="Rubbish")
    assert wrong.returncode != 0
    assert "no attribute of PS3.6" in wrong.stderr
