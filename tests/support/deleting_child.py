"""A process that deletes until it is killed: `python -m tests.support.deleting_child STUDY…`.

Settings come by the environment. Each study is deleted, and its UID told when that has returned;
then everything that is due is settled.
"""

import sys

from archive.archive import open_archive
from archive.configuration import load
from archive.model.identifiers import ResourcePath
from auth import Principal


def main() -> None:
    """Delete everything that is named."""
    with open_archive(load().settings) as archive:
        for study in sys.argv[1:]:
            resource = ResourcePath.parse(study)
            archive.delete(resource, by=Principal.service("child"), reason="a test")
            sys.stdout.write(f"{study}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
