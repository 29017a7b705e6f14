"""A process that stores until it is killed: `python -m tests.support.storing_child FOLDER`.

Settings come by the environment. Each file of the folder is stored, and its UID told when the store
has acknowledged it.
"""

import sys
from pathlib import Path

from archive.archive import open_archive
from archive.configuration import load
from archive.model.instances import Origin
from auth import Principal


def main() -> None:
    """Store everything, over and over."""
    with open_archive(load().settings) as archive:
        for path in sorted(Path(sys.argv[1]).iterdir()):
            with archive.staging.receive() as writer:
                writer.write(path.read_bytes())
                staged = writer.finish()
            outcome = archive.store(staged, by=Principal.service("child"), origin=Origin.STOW)
            sys.stdout.write(f"{outcome.status.value} {outcome.sop_instance_uid}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
