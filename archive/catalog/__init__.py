"""The database: what is kept, found by what, and in which order it came.

Rows never leave this package; values of `archive.model` do.
"""

from archive.catalog.database import Database, open_database

__all__ = ["Database", "open_database"]
