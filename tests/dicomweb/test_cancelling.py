"""Clients that go away, wait for too long, or are too many: the work for them stops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import text

from archive import cancellation
from archive.cancellation import Cancellation, checked
from archive.errors import Abandoned, CatalogUnavailable, TookTooLong
from dicomweb.attendance import Attendance
from dicomweb.outgoing import SLICE_BYTES, Outgoing
from dicomweb.problems import Busy
from tests.support.dicom_files import native_slide
from tests.support.http import LiveServer, changed, path_of, running, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from archive.catalog.database import Database
    from archive.settings import Settings

SCOPE = {"type": "http", "method": "GET", "headers": []}


@contextlib.contextmanager
def going_away_after(seconds: float, error: Exception) -> Iterator[Cancellation]:
    """Cancel what is done in the block after some time."""
    known = Cancellation()
    token = cancellation.current.set(known)
    timer = threading.Timer(seconds, known.cancel, [error])
    timer.start()
    try:
        yield known
    finally:
        cancellation.current.reset(token)
        timer.cancel()


def test_a_statement_is_cancelled_in_the_database(database: Database) -> None:
    started = time.monotonic()
    with (
        going_away_after(0.2, Abandoned("gone")),
        pytest.raises(Abandoned),
        database.begin() as session,
    ):
        session.execute(text("SELECT pg_sleep(60)"))
    with (
        going_away_after(0.2, TookTooLong(7)),
        pytest.raises(TookTooLong, match="after 7 s"),
        database.begin() as session,
    ):
        session.execute(text("SELECT pg_sleep(60)"))
    assert time.monotonic() - started < 30
    # The connection is as good as it was.
    with database.begin() as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1


def test_what_others_do_is_not_cancelled(database: Database) -> None:
    known = Cancellation()
    with database.begin() as session, known.stopping(lambda: pytest.fail("not asked for")):
        assert session.execute(text("SELECT 1")).scalar_one() == 1
    known.cancel(Abandoned("gone"))
    with database.begin() as session:
        session.execute(text("SELECT pg_sleep(0.1)"))


def test_an_error_of_the_database_is_none_of_the_client(database: Database) -> None:
    with (
        going_away_after(60, Abandoned("gone")),
        pytest.raises(CatalogUnavailable),
        database.begin() as session,
    ):
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_long_loop_ends_between_two_steps() -> None:
    with going_away_after(60, Abandoned("")) as known:
        steps = checked(range(100))
        assert [next(steps), next(steps)] == [0, 1]
        known.cancel(Abandoned("gone"))
        with pytest.raises(Abandoned):
            next(steps)


def sent(server: LiveServer) -> float:
    """Give the bytes of bodies that a server counts as sent."""
    metrics = httpx.get(f"{server.url}/metrics").text
    return float(metrics.split("\ncoverslip_http_sent_bytes_total ")[1].split()[0])


def counted(server: LiveServer, status: int) -> bool:
    return f'status="{status}"' in httpx.get(f"{server.url}/metrics").text


def test_a_download_that_is_given_up_is_not_read_to_its_end(settings: Settings) -> None:
    slide = native_slide(across=24, down=24, side=128)  # 28 MB
    with running(settings) as server:
        with httpx.Client(base_url=server.url) as client:
            assert store(client, slide).status_code == 200
        study = path_of(slide).partition("/series/")[0]
        before = sent(server)
        for _ in range(5):
            with socket.create_connection((server.host, server.port)) as connection:
                request = f"GET {study} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                connection.sendall(request.encode())
                assert connection.recv(4096)
        time.sleep(0.3)
        after = sent(server)
        # What fits into the buffers of both ends, and no more.
        assert after - before < 2.5 * len(slide.content)
        assert httpx.get(f"{server.url}{path_of(slide)}/frames/1").status_code == 200


def test_a_search_that_nobody_waits_for_is_cancelled(settings: Settings) -> None:
    with running(settings) as server:
        database = server.archive.database
        with database.engine.connect() as other:
            # Whoever searches now has to wait for this lock.
            other.execute(text("LOCK TABLE studies IN ACCESS EXCLUSIVE MODE"))
            with socket.create_connection((server.host, server.port)) as connection:
                connection.sendall(b"GET /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\n\r\n")
                _until(lambda: _waiting(database) == 1)
            _until(lambda: _waiting(database) == 0)
            other.rollback()
        _until(lambda: counted(server, 499))
        assert not counted(server, 500)


def _waiting(database: Database) -> int:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with database.begin() as session:
        return int(session.execute(text(statement)).scalar_one())


def _until(is_so: object, seconds: float = 20.0) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_more_requests_at_once_than_are_allowed_are_told_to_come_back(settings: Settings) -> None:
    upload = (
        b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/dicom\r\nContent-Length: 9\r\n\r\na"
    )
    few = changed(settings, max_requests_at_once=8, cors_origins=("*",))
    with running(few) as server, contextlib.ExitStack() as stack:
        for _ in range(8):
            connection = socket.create_connection((server.host, server.port))
            stack.enter_context(connection)
            connection.sendall(upload)

        def answered() -> int:
            origin = {"origin": "https://a.example"}
            return httpx.get(f"{server.dicomweb}/studies", headers=origin).status_code

        _until(lambda: answered() == 503)
        answer = httpx.get(f"{server.dicomweb}/studies", headers={"origin": "https://a.example"})
        assert answer.json()["type"] == "urn:coverslip:problem:busy"
        assert answer.headers["retry-after"] == "5"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        stack.close()
        _until(lambda: answered() == 204)


class Reader:
    """An ASGI server's end that takes what is sent as slowly as the test wants."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.may_go_on = asyncio.Event()

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        await self.may_go_on.wait()


def large(size: int) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})

    return answer


def test_large_bodies_that_wait_for_slow_readers_are_bounded() -> None:
    async def scenario() -> None:
        outgoing = Outgoing(large(3 * SLICE_BYTES), held_bytes=7 * SLICE_BYTES)
        slow = [Reader(), Reader()]
        waiting = [asyncio.create_task(outgoing(SCOPE, one.receive, one.send)) for one in slow]
        await asyncio.sleep(0)
        third = Reader()
        with pytest.raises(Busy):
            await outgoing(SCOPE, third.receive, third.send)
        assert third.messages == []  # so that the client can still be told
        for one in slow:
            one.may_go_on.set()
        await asyncio.gather(*waiting)
        third.may_go_on.set()
        await outgoing(SCOPE, third.receive, third.send)
        bodies = [one["body"] for one in third.messages[1:]]
        assert [len(body) for body in bodies] == [SLICE_BYTES] * 3
        assert [one["more_body"] for one in third.messages[1:]] == [True, True, False]

    asyncio.run(scenario())


def test_an_answer_that_does_not_begin_is_given_up() -> None:
    async def forever(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send

        def work() -> None:
            while True:
                cancellation.check()
                time.sleep(0.01)

        await asyncio.to_thread(work)

    async def scenario() -> None:
        reader = Reader()
        with pytest.raises(TookTooLong):
            await Attendance(forever, first_byte_seconds=0.1)(SCOPE, reader.receive, reader.send)

    asyncio.run(scenario())


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_request_does_not_inherit_that_an_earlier_one_was_given_up(method: str) -> None:
    # The loop hands the context of a request on to what comes next over the same connection.
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        cancellation.check()

    async def scenario() -> None:
        earlier = Cancellation()
        earlier.cancel(Abandoned("gone"))
        cancellation.current.set(earlier)
        reader = Reader()
        scope = {"type": "http", "method": method}
        await Attendance(answer)(scope, reader.receive, reader.send)
        assert cancellation.current.get() is earlier

    asyncio.run(scenario())
