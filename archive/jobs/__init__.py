"""Work that is done later, by whichever worker has time: `run_worker` is one."""

from archive.jobs.worker import run_worker

__all__ = ["run_worker"]
