"""The job engine: Procrastinate in our own PostgreSQL. The only module that names it.

A job is enqueued in the transaction that makes it necessary, and is done by any worker that has
time. A worker that dies keeps its jobs until its heartbeat is missed; then another worker, or the
same one started again, takes them up. What a job does must therefore bear being done twice.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from procrastinate import App, JobContext, PsycopgConnector, RetryDecision
from procrastinate import exceptions as failures
from procrastinate.jobs import DeleteJobCondition, Job, Status
from procrastinate.retry import BaseRetryStrategy
from procrastinate.schema import SchemaManager
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from archive.catalog.database import Database

MAXIMUM_ATTEMPTS = 8
"""Of one job; with the waits between them about half an hour, in which a store may come back."""
MAXIMUM_WAIT_SECONDS = 600
HEARTBEAT_SECONDS = 3.0
STALLED_SECONDS = 15.0
"""A worker that has not been heard of for so long is dead, and its jobs are given to others."""
GRACE_SECONDS = 2.0
"""Time that running jobs have to end by themselves when their worker is told to stop."""

_QUEUE = "coverslip"
_log = logging.getLogger(__name__)


class TransientError(Exception):
    """The job could not be done now, and may be done later."""


class InterruptedJobError(Exception):
    """The job was ended because its worker stops; it is to be done again at once."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a job."""

    last: bool
    """Whether it is not tried again after this."""
    should_stop: Callable[[], bool]
    """To be asked a few times a second; true when the worker is told to stop."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is done for the jobs of one name."""

    run: Callable[[Mapping[str, Any], Attempt], None]
    """Gets the arguments; raises `TransientError` or `InterruptedJobError` to be tried again."""
    give_up: Callable[[Mapping[str, Any]], None]
    """Called when the job killed its worker as often as it may."""


@dataclass(frozen=True, slots=True)
class WorkerTimes:
    """How often a worker says that it lives, and when one counts as dead; all in seconds."""

    heartbeat: float = HEARTBEAT_SECONDS
    stalled: float = STALLED_SECONDS
    grace: float = GRACE_SECONDS
    poll: float = 5.0


# --- schema ---------------------------------------------------------------------------------------

_APPLIED = """
CREATE TABLE IF NOT EXISTS procrastinate_applied_migrations (
    name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def apply_schema(connection: Connection) -> None:
    """Make the engine's tables, or bring them up to the engine that is installed.

    The engine ships its schema and, beside it, one file for each change it ever made to it. What
    was applied is kept in a table, so that a newer engine finds out what is missing.
    """
    connection.execute(text(_APPLIED))
    names = sorted(
        entry.name
        for entry in resources.files("procrastinate.sql.migrations").iterdir()
        if entry.name.endswith(".sql")
    )
    found = "SELECT name FROM procrastinate_applied_migrations"
    applied = set(connection.execute(text(found)).scalars())
    if not applied:
        _execute(connection, SchemaManager.get_schema())
    else:
        for name in (name for name in names if name not in applied):
            _log.info("bringing the job engine's tables up to date: %s", name)
            file = resources.files("procrastinate.sql.migrations") / name
            _execute(connection, file.read_text(encoding="utf-8"))
    for name in names:
        if name not in applied:
            insert = "INSERT INTO procrastinate_applied_migrations (name) VALUES (:name)"
            connection.execute(text(insert), {"name": name})


def _execute(connection: Connection, script: str) -> None:
    """Run a script of several statements, in which percent signs mean themselves."""
    driver = connection.connection.driver_connection
    if driver is None:
        message = "the connection has no driver behind it"
        raise RuntimeError(message)
    driver.execute(script)


# --- asking for work ------------------------------------------------------------------------------


class Jobs:
    """Enqueues jobs. They are done by `run`, in whichever process."""

    def __init__(self, database: Database) -> None:
        self._app = _app(database)

    def enqueue(
        self,
        session: Session,
        task: str,
        arguments: Mapping[str, Any],
        *,
        key: str,
        not_before: datetime | None = None,
    ) -> None:
        """Enqueue a job in the transaction of `session`: with it, or not at all.

        Parameters
        ----------
        key
            What the job works on. Two jobs of one key never run at the same time, and one that
            still waits is not enqueued again.
        not_before
            UTC; when it is to be done, at once if left out.
        """
        try:
            with session.begin_nested():
                # Taken within: the savepoint is made when the session's connection is asked for,
                # and without one the refusal of a second job would end the whole transaction.
                deferrer = self._app.configure_task(
                    task,
                    queue=_QUEUE,
                    lock=key,
                    queueing_lock=key,
                    schedule_at=not_before,
                    connection=session.connection().connection.driver_connection,
                )
                deferrer.defer(**arguments)
        except failures.AlreadyEnqueued:
            _log.debug("a job for %s waits already", key)


# --- doing it -------------------------------------------------------------------------------------


class _Retry(BaseRetryStrategy):
    """Again at once after an interruption, later and later after a transient error, else never."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, InterruptedJobError | failures.JobAborted):
            return RetryDecision(retry_at=datetime.now(UTC))
        if isinstance(exception, TransientError) and job.attempts + 1 < MAXIMUM_ATTEMPTS:
            wait = min(5 * 2**job.attempts, MAXIMUM_WAIT_SECONDS)
            return RetryDecision(retry_at=datetime.now(UTC) + timedelta(seconds=wait))
        return None


def run(
    database: Database,
    tasks: Mapping[str, Task],
    *,
    concurrency: int,
    times: WorkerTimes | None = None,
) -> None:
    """Do jobs until SIGTERM or SIGINT; must be called from the main thread.

    A database that goes away is waited for. Running jobs are told to stop and are done again by the
    next worker.
    """
    asyncio.run(_run(database, tasks, concurrency, times or WorkerTimes()))


async def _run(
    database: Database, tasks: Mapping[str, Task], concurrency: int, times: WorkerTimes
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    wait = 1.0
    while not stop.is_set():
        started = loop.time()
        try:
            await _work(_app(database, tasks), tasks, concurrency, times, stop)
        except failures.ConnectorException as error:
            _log.warning(
                "the worker lost the database: %s", type(error.__cause__ or error).__name__
            )
        if loop.time() - started > 60:
            wait = 1.0
        try:
            await asyncio.wait_for(stop.wait(), timeout=wait)
        except TimeoutError:
            wait = min(2 * wait, 30.0)


async def _work(
    app: App,
    tasks: Mapping[str, Task],
    concurrency: int,
    times: WorkerTimes,
    stop: asyncio.Event,
) -> None:
    """Run one worker until it is told to stop or loses the database."""
    async with app.open_async():
        worker = asyncio.create_task(
            app.run_worker_async(
                queues=[_QUEUE],
                concurrency=concurrency,
                delete_jobs=DeleteJobCondition.SUCCESSFUL.value,
                install_signal_handlers=False,
                shutdown_graceful_timeout=times.grace,
                update_heartbeat_interval=times.heartbeat,
                stalled_worker_timeout=times.stalled,
                fetch_job_polling_interval=times.poll,
            )
        )
        rescuer = asyncio.create_task(_rescue(app, tasks, times))
        stopping = asyncio.create_task(stop.wait())
        everything = {worker, rescuer, stopping}
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        for task in everything:
            task.cancel()
        results = await asyncio.gather(*everything, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
            raise result


async def _rescue(app: App, tasks: Mapping[str, Task], times: WorkerTimes) -> None:
    """Give the jobs of dead workers to the living, again and again."""
    while True:
        stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=times.stalled)
        for job in stalled:
            try:
                if job.attempts + 1 < MAXIMUM_ATTEMPTS // 2:
                    _log.warning("job %s of a dead worker is taken up again", job.id)
                    await app.job_manager.retry_job(job)
                else:
                    await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
                    await asyncio.to_thread(tasks[job.task_name].give_up, job.task_kwargs)
            except failures.ConnectorException:
                _log.debug("another worker was quicker to take up job %s", job.id)
        await asyncio.sleep(times.heartbeat)


def _app(database: Database, tasks: Mapping[str, Task] | None = None) -> App:
    connector = PsycopgConnector(kwargs=database.connect_arguments(), min_size=1, max_size=4)
    app = App(connector=connector)
    for name, task in (tasks or {}).items():
        _register(app, name, task)
    return app


def _register(app: App, name: str, task: Task) -> None:
    def perform(context: JobContext, /, **arguments: Any) -> None:  # noqa: ANN401 - JSON values
        last = context.job.attempts + 1 >= MAXIMUM_ATTEMPTS
        task.run(arguments, Attempt(last, context.should_abort))

    app.task(name=name, queue=_QUEUE, pass_context=True, retry=_Retry())(perform)
