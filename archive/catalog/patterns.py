"""DICOM's wildcards as PostgreSQL's patterns (PS3.4 §C.2.2.2.4)."""

import re
from collections.abc import Iterable

from archive.catalog.folding import END, START, tokens_of_pattern


def like(pattern: str) -> str:
    r"""Give `pattern` for LIKE: only ``*`` and ``?`` are wildcards; `%`, `_`, `\` are literal."""
    escaped = re.sub(r"([\\%_])", r"\\\1", re.sub(r"\*+", "*", pattern))
    return escaped.replace("*", "%").replace("?", "_")


def has_prefix(pattern: str) -> bool:
    """Tell whether a B-tree can look it up: it begins with literal characters."""
    return pattern[:1] not in {"*", "?", ""}


def tokens_of(name: str, pattern: str) -> Iterable[int]:
    """Give the tokens, ascending, that a value matching `pattern` must have (see `folding`)."""
    return sorted(tokens_of_pattern(name, re.split(r"[*?]", f"{START}{pattern}{END}")))
