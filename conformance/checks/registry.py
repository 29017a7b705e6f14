"""What a check is, how one is written down, and how its result is told."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.checks.bench import Bench


class Failed(Exception):
    """The service did not do what the check demands; the message says what it did instead."""


class Gone(Failed):
    """Nobody listens at the address of the service any more."""


class Skipped(Exception):
    """The check does not apply: an optional thing is not there, or a sample could not be stored."""


class Source(StrEnum):
    """From where the demand of a check is derived."""

    STANDARD = "standard"
    """From the text of DICOM, or of the RFCs that PS3.18 is built on."""
    CLIENT = "client"
    """From what a named client sends, and can read."""


class Status(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One demand on a DICOMweb service, and how to try it.

    Attributes
    ----------
    id
        ``category.name``, stable.
    cites
        The clause, or the client's source.
    demand
        One sentence.
    run
        Raises `Failed` or `Skipped`.
    """

    id: str
    category: str
    cites: str
    demand: str
    source: Source
    run: Callable[["Bench"], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How one check ended, and why."""

    check: Check
    status: Status
    why: str = ""
    failure: Failed | None = None


CHECKS: dict[str, Check] = {}
"""Every check by its id, in the order of the categories and of the text."""

type _Body = Callable[["Bench"], None]


class Category:
    """The checks of one module: a decorator that takes what a check cites and what it demands."""

    def __init__(self, name: str) -> None:
        self.name = name

    def standard(self, cites: str, demand: str) -> Callable[[_Body], _Body]:
        """Register a check that the text of a standard demands."""
        return self._registering(cites, demand, Source.STANDARD)

    def client(self, cites: str, demand: str) -> Callable[[_Body], _Body]:
        """Register a check that a client in the field depends on."""
        return self._registering(cites, demand, Source.CLIENT)

    def add(self, name: str, cites: str, demand: str, run: _Body) -> None:
        """Register one of many checks that a table gives, all demanded by a standard."""
        self._register(name, cites, demand, Source.STANDARD, run)

    def _registering(self, cites: str, demand: str, source: Source) -> Callable[[_Body], _Body]:
        def register(run: _Body) -> _Body:
            self._register(run.__name__, cites, demand, source, run)
            return run

        return register

    def _register(self, name: str, cites: str, demand: str, source: Source, run: _Body) -> None:
        words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        check_id = f"{self.name.lower().replace(' ', '-')}.{words}"
        if check_id in CHECKS:
            raise ValueError(f"two checks are called {check_id}")
        CHECKS[check_id] = Check(check_id, self.name, cites, demand, source, run)


def selected(categories: list[str] | None = None, ids: list[str] | None = None) -> Iterator[Check]:
    """Give the checks of the named categories, or with ids that begin as given; all by default."""
    wanted = {name.lower() for name in categories or []}
    for check in CHECKS.values():
        if wanted and check.category.lower() not in wanted:
            continue
        if ids and not any(check.id.startswith(beginning) for beginning in ids):
            continue
        yield check
