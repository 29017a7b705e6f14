"""Values of the archive: no I/O, no library but numpy."""
