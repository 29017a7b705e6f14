"""Searches in a catalog of millions of instances, and the plans PostgreSQL makes for them."""

from __future__ import annotations

import http.client
import random
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import psycopg
from sqlalchemy.event import listen, remove

from archive.archive import SCHEMA_STEPS
from archive.catalog.database import open_database
from archive.catalog.paging import PageEnds
from archive.catalog.search import search
from archive.model.attributes import Level
from archive.settings import Settings
from auth import Visibility
from benchmarks import crowd
from benchmarks.bench import Bench, Part
from benchmarks.processes import Server, archive, children_of, processor_seconds
from benchmarks.report import say
from dicomweb.queries import parse_search

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archive.catalog.database import Database

ROWS = 100
"""Of a page, as viewers ask for."""
RUNS = 40
"""Searches of a kind, each for something else."""
WANTED_MS = 50
_DEEP = 999 * ROWS
_STEPS = (
    "SpecimenDescriptionSequence.SpecimenPreparationSequence"
    ".SpecimenPreparationStepContentItemSequence"
)


def measure(bench: Bench) -> None:
    """Fill a catalog, search it over HTTP, and print the plans."""
    folder = bench.folder / "crowd"
    folder.mkdir()
    took = make(folder, bench.options.instances)
    say("", f"Search among {bench.options.instances} instances, made in {took:.0f} s")
    measure_in(folder, bench.options.instances)


def make(folder: Path, instances: int) -> float:
    """Fill the catalog of an archive in `folder`; give the seconds it took."""
    started = time.perf_counter()
    with closing(open_database(Settings(data_dir=folder))) as database:
        database.prepare(steps=SCHEMA_STEPS)
        with psycopg.connect(**database.connect_arguments()) as connection:
            crowd.fill(connection, instances)
    return time.perf_counter() - started


def measure_in(folder: Path, instances: int) -> None:
    """Search the archive in `folder`, which `make` has filled."""
    studies = -(-instances // (crowd.INSTANCES_IN_SERIES * crowd.SERIES_IN_STUDY))
    kinds = searches(studies)
    for file in (folder / "postgres" / "base").rglob("*"):
        if file.is_file():  # as a database that has been at work for a while: in memory
            file.read_bytes()
    with archive(folder, {}) as server:
        for path in ("studies", "instances"):
            say(f"  /{path}, {ROWS} rows at most; {RUNS} searches each, milliseconds over HTTP")
            for name, make_query in kinds.items():
                _measure_one(server, path, name, make_query)
            _measure_pages(server, path)
    _plans(folder, kinds)


def searches(studies: int) -> dict[str, Callable[[random.Random], str]]:
    """Give kinds of search: a query string for each draw of a number."""

    def number(chosen: random.Random) -> int:
        return chosen.randint(1, studies)

    return {
        "nothing but the newest": lambda _: "",
        "patient ID": lambda c: f"PatientID={crowd.patient_id(number(c))}",
        "patient name, first letters": lambda c: f"PatientName={crowd.surname(number(c))[:5]}*",
        "patient name, two letters": lambda c: f"PatientName={crowd.surname(number(c))[:2]}*",
        "patient name, leading wildcard": lambda c: f"PatientName=*{crowd.surname(number(c))[2:]}*",
        "patient name, fuzzy": lambda c: (
            f"fuzzymatching=true&PatientName={crowd.surname(number(c))[:5]}"
        ),
        "accession number": lambda c: f"AccessionNumber={crowd.accession(number(c))}",
        "accession, leading wildcard": lambda c: f"AccessionNumber=*{number(c):07d}",
        "container": lambda c: f"ContainerIdentifier={crowd.container(number(c), c.randrange(4))}",
        "container, leading wildcard": lambda c: (
            f"ContainerIdentifier=*{crowd.container(number(c), c.randrange(4))[5:]}"
        ),
        "stain": lambda c: (
            f"{_STEPS}.ConceptCodeSequence.CodeMeaning={quote(c.choice(crowd.STAINS))}"
        ),
        "stain, leading wildcard": lambda c: (
            f"{_STEPS}.ConceptCodeSequence.CodeMeaning=*{quote(c.choice(crowd.STAINS)[1:])}"
        ),
        "block": lambda c: f"{_STEPS}.TextValue=Block+{c.choice('ABCD')}{c.randint(1, 9)}",
        "study date, a week": lambda c: _week(c, studies),
        "study date, a year": lambda c: f"StudyDate={2016 + c.randrange(9)}0101-20261231",
        "modality, common": lambda _: "Modality=SM",
        "modality, rare": lambda c: f"Modality={c.choice(('SR', 'SEG'))}",
        "modality, none": lambda _: "Modality=CT",
        "modality and patient name": lambda c: (
            f"ModalitiesInStudy=SM&PatientName={crowd.surname(number(c))[:4]}*"
        ),
    }


def _week(chosen: random.Random, studies: int) -> str:
    last = crowd.FIRST_DAY + timedelta(days=chosen.randint(7, crowd.DAYS))
    return f"StudyDate={last - timedelta(days=7):%Y%m%d}-{last:%Y%m%d}"


def _measure_one(
    server: Server, path: str, name: str, make_query: Callable[[random.Random], str]
) -> None:
    chosen = random.Random(name)  # noqa: S311
    took = []
    rows = 0
    before = _used(server)
    with closing(_connect(server.base)) as connection:
        for _ in range(RUNS):
            seconds, found = _ask(connection, f"/dicomweb/{path}?limit={ROWS}&{make_query(chosen)}")
            took.append(seconds)
            rows += found
    _line(name, took, rows, (_used(server) - before) / RUNS)


def _used(server: Server) -> float:
    """Tell the processor time that server and database have used, in seconds."""
    lock = Path(server.environment["COVERSLIP_DATA_DIR"]) / "postgres" / "postmaster.pid"
    postmaster = int(lock.read_text().split()[0])
    processes = [postmaster, *children_of(postmaster)]
    return server.processor_seconds() + sum(map(processor_seconds, processes))


def _measure_pages(server: Server, path: str) -> None:
    for name, query in (("", ""), (" of Modality=SM", "&Modality=SM")):
        took: dict[str, list[float]] = {"counted": [], "from where page 999 ended": []}
        rows = 0
        with closing(_connect(server.base)) as connection:
            for run in range(RUNS // 2):
                # Another number of rows a page each time: no end of a page is known before.
                limit = ROWS - run
                for how in took:
                    offset = _DEEP + (limit if how != "counted" else 0)
                    address = f"/dicomweb/{path}?limit={limit}&offset={offset}{query}"
                    seconds, found = _ask(connection, address)
                    took[how].append(seconds)
                    rows += found
        for how, seconds_of in took.items():
            _line(f"page 1000{name}, {how}", seconds_of, rows // 2)


def _line(name: str, took: list[float], rows: int, used: float | None = None) -> None:
    ordered = sorted(1e3 * one for one in took)
    p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    missed = "" if p95 <= WANTED_MS else f"   wanted: at most {WANTED_MS}"
    processor = "" if used is None else f"  {1e3 * used:6.1f} of processor"
    say(f"    {name:<46} p50 {p50:7.1f}  p95 {p95:7.1f}{processor}  {rows:6} rows{missed}")


def _connect(base: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(base).netloc, timeout=600)


def _ask(connection: http.client.HTTPConnection, address: str) -> tuple[float, int]:
    """Give the seconds that a search took, and its rows."""
    started = time.perf_counter()
    connection.request("GET", address, headers={"Accept": "application/dicom+json"})
    answer = connection.getresponse()
    body = answer.read()
    took = time.perf_counter() - started
    if answer.status not in {200, 204}:
        message = f"{answer.status} for {address}: {body[:200]!r}"
        raise RuntimeError(message)
    return took, body.count(b'"00081190"')


def _plans(folder: Path, kinds: dict[str, Callable[[random.Random], str]]) -> None:
    """Print how PostgreSQL does one search of each kind, and how long it takes for that."""
    with closing(open_database(Settings(data_dir=folder))) as database:
        for level in (Level.STUDY, Level.INSTANCE):
            for name, make_query in kinds.items():
                text = make_query(random.Random(name))  # noqa: S311
                say("", f"  Plan, {level}: {name}")
                for line in plan(database, text, level):
                    say(f"    {line}")


def plan(database: Database, text: str, level: Level) -> list[str]:
    """Explain the statements of one search; what is read of its rows then is left out."""
    asked = parse_search(text.encode(), level=level, default_limit=ROWS, maximum_limit=ROWS)
    done: list[tuple[str, Any]] = []

    def note(*event: Any) -> None:  # noqa: ANN401
        done.append((event[2], event[3]))

    lines: list[str] = []
    listen(database.engine, "before_cursor_execute", note)
    with database.begin() as session:
        search(session, asked.query, Visibility.ALL, PageEnds())
        remove(database.engine, "before_cursor_execute", note)
        for sql, parameters in done:
            explain = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) {sql}"
            rows = session.connection().exec_driver_sql(explain, parameters).scalars().all()
            lines += [*_page(rows), rows[-1]]
    return lines


def _page(lines: Sequence[str]) -> list[str]:
    """Give the part of a plan that finds the rows of the page: its Limit and what is under it."""
    first = next(at for at, line in enumerate(lines) if line.lstrip(" ->").startswith("Limit"))
    depth = len(lines[first]) - len(lines[first].lstrip())
    last = first + 1
    while last < len(lines) and len(lines[last]) - len(lines[last].lstrip()) > depth:
        last += 1
    return [line[depth:] for line in lines[first:last] if "Index Searches" not in line]


PART = Part("search", "searches among millions of instances, with their plans", measure, long=True)
