"""`python -m archive.catalog`: bring the database of the settings up to date."""

import sys

from archive.archive import SCHEMA_STEPS
from archive.catalog.database import open_database
from archive.configuration import load
from archive.errors import ArchiveError


def main() -> int:
    """Upgrade the schema; gives the exit status."""
    try:
        with open_database(load().settings) as database:
            database.prepare(steps=SCHEMA_STEPS, upgrade=True)
    except ArchiveError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("the database is up to date\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
