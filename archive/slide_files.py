"""The slide files that were given and wait to be converted: one folder, one file a slide.

A file is there before its row is visible, and goes when its conversion has come to an end,
whichever: what is kept for good are the instances, and the SHA-256 of the source in the row.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from archive.blobs.staging import refusing_a_full_disk
from archive.model.instances import StagedFile
from archive.model.slides import SlideRecord

_SUFFIX = re.compile(r"(\.ome)?\.[a-z0-9]{1,8}$")


class SlideFiles:
    """Files below one folder.

    Parameters
    ----------
    folder
        Made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, record: SlideRecord) -> Path:
        """Give the place of a slide's file; its suffix tells libraries what it may be."""
        suffix = _SUFFIX.search(record.filename.lower())
        return self.folder / f"{record.id}{'' if suffix is None else suffix[0]}"

    def take(self, staged: StagedFile) -> Path:
        """Bring a received file into the folder, under a name that nothing else has."""
        with refusing_a_full_disk(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            incoming = self.folder / f"{uuid4().hex}.incoming"
            try:
                os.replace(staged.path, incoming)
            except OSError:  # scratch is on another file system
                try:
                    shutil.copyfile(staged.path, incoming)
                    with incoming.open("rb") as file:
                        os.fsync(file.fileno())
                except OSError:
                    incoming.unlink(missing_ok=True)
                    raise
                staged.path.unlink()
        return incoming

    def settle(self, incoming: Path, record: SlideRecord) -> None:
        """Give the file its name, and make that last."""
        os.replace(incoming, self.path(record))
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def drop(self, record: SlideRecord) -> None:
        """Remove the file of a slide; that it is gone already is no error."""
        self.path(record).unlink(missing_ok=True)

    def sweep(self, needed: Iterable[SlideRecord], *, older_than: float) -> None:
        """Remove files that no slide needs and that were last changed before `older_than`.

        Parameters
        ----------
        older_than
            Seconds since the epoch.
        """
        keep = {self.path(record) for record in needed}
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if path not in keep and path.is_file() and path.stat().st_mtime < older_than:
                path.unlink(missing_ok=True)
