"""Folded texts, and the tokens by which wildcards and names are found without reading every row.

PostgreSQL as the archive brings it along has neither pg_trgm nor unaccent, so both are ours: a row
keeps one array of numbers, each the checksum of an attribute's name and three neighbouring
characters of its value. A GIN index over the array narrows a search down; the pattern itself
decides. A checksum that two texts share therefore costs a look, never a wrong result.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator

START, END = "\x02", "\x03"
"""Stand before and behind a value, so that its first and last characters make tokens too."""

MAXIMUM_TOKENS = 4096
"""Of one value; a text longer than this is found by its beginning."""

_SPACES = re.compile(r"\s+")
# Letters that carry no mark that could be taken off, but are written without in half the world.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th"}
    | {"\N{LATIN SMALL LETTER DOTLESS I}": "i"}
)


def fold(text: str) -> str:
    """Give `text` in lower case without diacritics, full-width forms and doubled spaces."""
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_LETTERS)
    marks_gone = "".join(c for c in plain if not unicodedata.combining(c))
    return _SPACES.sub(" ", unicodedata.normalize("NFC", marks_gone)).strip()


def fold_group(group: str) -> str:
    """Fold one component group of a person name; empty components at its end go (PS3.5 §6.2.1)."""
    return "^".join(fold(part) for part in group.split("^")).rstrip("^ ")


def fold_name(name: str) -> str:
    """Fold a person name: component groups between equals signs, `=doe^john=山田^太郎=`.

    Gives an empty text for a name without content.
    """
    groups = [folded for group in name.split("=") if (folded := fold_group(group))]
    return f"={'='.join(groups)}=" if groups else ""


def tokens_of_value(attribute: str, value: str) -> set[int]:
    """Give the tokens of one whole value of an attribute (its column's name)."""
    padded = f"{START}{value}{END}"[: MAXIMUM_TOKENS + 2]
    return {_token(attribute, piece) for piece in _trigrams(padded)}


def tokens_of_pattern(attribute: str, pieces: Iterable[str]) -> set[int]:
    """Give the tokens that a value must have.

    Parameters
    ----------
    attribute
        Its column's name.
    pieces
        Runs of literal characters that the value holds; `START` and `END` belong to them where a
        run stands at the beginning or the end of the value.
    """
    found: set[int] = set()
    for piece in pieces:
        found |= {_token(attribute, part) for part in _trigrams(piece[:MAXIMUM_TOKENS])}
    return found


def _trigrams(text: str) -> Iterator[str]:
    return (text[at : at + 3] for at in range(len(text) - 2))


def _token(attribute: str, part: str) -> int:
    """Give a checksum as a signed number of 32 bits, which is what the column holds."""
    number = zlib.crc32(f"{attribute}:{part}".encode("utf-8", "replace"))
    return number - (1 << 32) if number >= 1 << 31 else number
