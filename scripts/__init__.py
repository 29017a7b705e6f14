"""Scripts the Makefile calls; nothing here is part of the installed archive."""
