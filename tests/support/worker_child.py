"""A job worker that notices the death of others soon: `python -m tests.support.worker_child`."""

from archive.configuration import load
from archive.jobs import run_worker
from archive.jobs.engine import WorkerTimes

TIMES = WorkerTimes(heartbeat=0.3, stalled=2.0, grace=0.05, poll=0.5)

if __name__ == "__main__":
    run_worker(load().settings, times=TIMES)
