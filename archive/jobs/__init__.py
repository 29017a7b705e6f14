"""Work that is done later, by whichever worker has time."""
