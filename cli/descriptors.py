"""How many files and connections this process and its children may have open."""

import resource


def raise_descriptor_limit() -> int:
    """Go up to what the system lets us, and tell it; a shell's usual 1024 are 1024 clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
