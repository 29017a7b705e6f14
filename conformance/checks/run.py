"""A run of the checks against one service: store the samples, try everything, clean up."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from conformance.checks.bench import Bench
from conformance.checks.registry import Check, Failed, Gone, Result, Skipped, Status
from conformance.checks.service import Service


@dataclass(slots=True)
class Report:
    """What came out of a run."""

    url: str
    results: list[Result] = field(default_factory=list)
    refused_samples: dict[str, str] = field(default_factory=dict)
    """Samples that could not be stored, and why; checks that need them were skipped."""
    left_behind: list[str] = field(default_factory=list)
    """Studies of the run that could not be deleted."""
    tag: str = ""
    """What the descriptions and Patient IDs of the run have in them."""

    def count(self, status: Status, category: str | None = None) -> int:
        """Count the results of a status, of one category or of all."""
        return sum(
            one.status is status and category in {None, one.check.category} for one in self.results
        )

    @property
    def categories(self) -> list[str]:
        """The categories that checks of this run are of, in order."""
        return list(dict.fromkeys(one.check.category for one in self.results))


@contextmanager
def prepared(
    service: Service, *, uri_service: str = "/wado", keep: bool = False
) -> Iterator[Bench]:
    """Give a bench with every sample stored; what was stored is deleted at the end.

    Parameters
    ----------
    keep
        Leave what was stored where it is.

    Raises
    ------
    Failed
        When nobody answers, or we are not let in.
    """
    bench = Bench(service, uuid.uuid4(), uri_service=uri_service)
    try:
        bench.contact()
        bench.store_samples()
        yield bench
    finally:
        if not keep:
            bench.left_behind = bench.clean_up()
        service.close()


def attempt(check: Check, bench: Bench) -> Result:
    """Try one check; what a check itself does not foresee is its failure, with what it met."""
    try:
        check.run(bench)
    except Skipped as reason:
        return Result(check, Status.SKIPPED, str(reason))
    except Failed as failure:
        return Result(check, Status.FAILED, str(failure), failure)
    except Exception as error:  # noqa: BLE001 - an answer of another shape than any check expects
        why = f"the answer is not of the expected form: {type(error).__name__}: {error}"
        return Result(check, Status.FAILED, why)
    return Result(check, Status.PASSED)


def run(
    service: Service,
    checks: Iterable[Check],
    *,
    uri_service: str = "/wado",
    keep: bool = False,
    progress: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Try checks, one after the other.

    Parameters
    ----------
    progress
        Told each result as it comes.
    """
    report = Report(service.url)
    with prepared(service, uri_service=uri_service, keep=keep) as bench:
        report.refused_samples = dict(bench.refusals)
        report.tag = bench.maker.tag
        gone = False
        for check in checks:
            result = Result(check, Status.SKIPPED, "the service is gone") if gone else None
            result = result or attempt(check, bench)
            gone = gone or isinstance(result.failure, Gone)
            report.results.append(result)
            progress(result)
    report.left_behind = bench.left_behind
    return report
