"""Person names as conditions over a folded column (PS3.4 §C.2.2.2.1.1, §C.2.2.2.4).

How names match is for an implementation to define and to state. Here it is: case and diacritics
are folded; a key matches when each component group it names is one of the stored groups. With
fuzzy matching every word of the key begins some word of the name, in whichever order and group;
there is no phonetic matching.
"""

import re
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_

from archive.catalog.folding import END, START, fold, fold_group, tokens_of_pattern
from archive.model.query import ValueMatch, WildcardMatch

_REGEX_SPECIAL = re.compile(r"([.^$*+?()\[\]{}|\\\-])")
_WORDS = re.compile(r"[^\s^=,*?]+")

Condition = ColumnElement[bool]


def name_condition(
    folded: Any,  # noqa: ANN401 - a column
    tokens: Any,  # noqa: ANN401 - a column
    name: str,
    match: ValueMatch | WildcardMatch,
    *,
    fuzzy: bool,
) -> Condition:
    """Give the condition of a person name.

    Parameters
    ----------
    folded
        Column of the folded name, `=doe^john=`.
    tokens
        Column of the tokens that narrow it down (see `folding`); None to go without.
    name
        Under which the tokens were made.
    """
    literal = isinstance(match, ValueMatch)
    patterns = match.values if isinstance(match, ValueMatch) else (match.pattern,)
    if fuzzy:
        return or_(*(_words(folded, tokens, name, pattern) for pattern in patterns))
    return or_(*(_groups(folded, tokens, name, p, literal=literal) for p in patterns))


def _groups(folded: Any, tokens: Any, name: str, pattern: str, *, literal: bool) -> Condition:  # noqa: ANN401
    """Every component group that the key names must be matched by one of the stored ones."""
    found: list[Condition] = []
    for group in pattern.split("="):
        text = fold_group(group)
        if not text:
            continue
        if literal:
            wanted = re.sub(r"([\\%_])", r"\\\1", text)
            found.append(folded.like(f"%={wanted}=%", escape="\\"))
            pieces = [f"{START}{text}{END}"]
        else:
            found.append(folded.op("~")(f"={_regex(text)}="))
            pieces = re.split(r"[*?]", f"{START}{text}{END}")
        found.extend(_narrowed(tokens, name, pieces))
    return and_(*found) if found else false()


def _words(folded: Any, tokens: Any, name: str, pattern: str) -> Condition:  # noqa: ANN401
    """Every word of the key begins some word of the name (PS3.18 §8.3.4.2: ours to define)."""
    words = [word for text in _WORDS.findall(pattern) if (word := fold(text))]
    found: list[Condition] = [folded.op("~")(f"[=^ -]{_escaped(word)}") for word in words]
    found.extend(_narrowed(tokens, name, words))
    return and_(*found) if words else false()


def _narrowed(tokens: Any, name: str, pieces: list[str]) -> list[Condition]:  # noqa: ANN401
    """Give what the GIN index answers and every match fulfils, if there is such a thing."""
    wanted = set() if tokens is None else tokens_of_pattern(name, pieces)
    return [tokens.contains(sorted(wanted))] if wanted else []


def _regex(pattern: str) -> str:
    """Give wildcards as a regular expression that stays within one component group."""
    pieces = re.split(r"(\*+|\?)", pattern)
    return "".join(
        "[^=]*" if piece.startswith("*") else "[^=]" if piece == "?" else _escaped(piece)
        for piece in pieces
    )


def _escaped(text: str) -> str:
    return _REGEX_SPECIAL.sub(r"\\\1", text)
