from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.command import command_line, descendants, is_running
from tests.support.minio_server import ACCESS_KEY, SECRET_KEY, MinioServer, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Command


def gone(pids: list[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_a_server_with_nothing_set_starts_stops_and_starts_again(bare_coverslip: Command) -> None:
    for _ in range(2):
        with bare_coverslip.server() as server:
            assert server.get("/dicomweb/studies").status in {200, 204}
            children = descendants(server.process.pid)
            assert server.url in server.said
            assert f"{server.url}/dicomweb" in server.said
            assert str(bare_coverslip.folder / "coverslip-data") in server.said
            assert server.stop(signal.SIGINT) == 0
        assert gone(children)
        assert "Traceback" not in server.said
    lock = bare_coverslip.folder / "coverslip-data" / "postgres" / "postmaster.pid"
    assert not lock.exists()  # the embedded PostgreSQL was stopped too


def test_a_second_server_on_the_same_folder_is_refused(coverslip: Command) -> None:
    with coverslip.server() as server:
        second = coverslip.run("serve", "--port", str(free_port()))
        assert second.returncode == 1
        assert f"process {server.process.pid}" in second.stderr
        assert str(coverslip.folder / "coverslip-data") in second.stderr
        assert "--data-dir" in second.stderr
        assert second.stderr.count("\n") == 1
        assert server.get("/health/ready").status == 200


def test_a_folder_is_free_again_after_a_kill_and_nothing_is_left_running(
    coverslip: Command,
) -> None:
    with coverslip.server() as server:
        children = descendants(server.process.pid)
        assert children
        server.process.kill()
        server.process.wait()
        assert gone(children)
    with coverslip.server() as server:
        assert server.get("/health/ready").status == 200


def test_a_port_that_is_taken_is_told_in_one_line(coverslip: Command) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = coverslip.run("serve", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_open_server_listens_on_this_machine_only(coverslip: Command) -> None:
    done = coverslip.run("serve", "--host", "0.0.0.0")  # noqa: S104 - what is to be refused
    assert done.returncode == 2
    assert "COVERSLIP_AUTH=required" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (coverslip.folder / "coverslip-data").exists()


def test_several_processes_answer_on_one_port(coverslip: Command) -> None:
    with coverslip.server("--workers", "2") as server:
        children = descendants(server.process.pid)
        assert sum("http-worker" in command_line(pid) for pid in children) == 2
        assert all(server.get("/health/ready").status == 200 for _ in range(10))
        # Whichever process answers, it tells of all ten.
        counted = [
            line
            for line in server.get("/metrics").data.decode().splitlines()
            if line.startswith("coverslip_http_requests_total") and "/health/ready" in line
        ]
        assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) >= 10
        assert server.stop() == 0
    assert gone(children)


def test_a_server_process_that_dies_is_started_again_and_the_other_answers(
    coverslip: Command,
) -> None:
    def workers() -> set[int]:
        pids = descendants(server.process.pid)
        return {pid for pid in pids if "http-worker" in command_line(pid)}

    with coverslip.server("--workers", "2") as server:
        first = workers()
        assert len(first) == 2
        killed = first.pop()
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while len(workers() - {killed}) < 2:
            assert server.get("/health/live").status == 200
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "starting it again" in server.said


def test_a_job_worker_that_dies_is_started_again(coverslip: Command) -> None:
    def worker() -> int | None:
        for pid in descendants(server.process.pid):
            if "worker" in command_line(pid):
                return pid
        return None

    with coverslip.server() as server:
        first = worker()
        assert first is not None
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while worker() in {None, first}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "starting it again" in server.said


def test_an_object_store_that_is_down_is_told_in_one_line(coverslip: Command) -> None:
    done = coverslip.run(
        "serve",
        "--port",
        str(free_port()),
        blobs="s3://slides",
        s3_endpoint=f"http://127.0.0.1:{free_port()}",
        s3_access_key="key",
        s3_secret_key="very-secret",
    )
    assert done.returncode == 1
    assert "COVERSLIP_S3_ENDPOINT" in done.stderr
    assert "very-secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_object_store_that_goes_down_makes_the_server_unready_until_it_is_back(
    coverslip: Command, tmp_path: Path
) -> None:
    with MinioServer(tmp_path / "minio" / "data") as minio:
        location = minio.bucket()
        with coverslip.server(
            blobs=f"s3://{location.bucket}/slides",
            s3_endpoint=minio.endpoint,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
        ) as server:
            minio.stop()
            assert server.get("/health/ready").status == 503
            assert server.get("/health/live").status == 200
            minio.start()
            assert server.get("/health/ready").status == 200


@pytest.mark.parametrize("words", [(), ("serve",), ("ingest",), ("token",), ("token", "create")])
def test_help_teaches_with_examples(bare_coverslip: Command, words: tuple[str, ...]) -> None:
    done = bare_coverslip.run(*words, "--help")
    assert done.returncode == 0
    assert "coverslip" in done.stdout
    if words and words != ("token",):
        assert "For example" in done.stdout


def test_the_http_interface_is_described_without_starting_anything(
    bare_coverslip: Command,
) -> None:
    done = bare_coverslip.run("openapi")
    assert done.returncode == 0
    assert '"openapi"' in done.stdout
    assert "/dicomweb/studies" in done.stdout
    assert not (bare_coverslip.folder / "coverslip-data").exists()
