"""Write the table of docs/search.md from the attributes: `python -m scripts.search_page`."""

from __future__ import annotations

import sys
from pathlib import Path

from archive.catalog.levels import RETURNED
from archive.model.attributes import INDEXED, IndexedAttribute, Kind, Level

PAGE = Path(__file__).resolve().parents[1] / "docs" / "search.md"
BEGIN = "<!-- The table is written by scripts/search_page.py; a test compares. -->"
END = "<!-- The table ends here. -->"

_MATCHING = {
    Kind.TEXT: "value, list, wildcard, empty",
    Kind.NAME: "value, list, wildcard, fuzzy, empty",
    Kind.UID: "value, list",
    Kind.DATE: "value, list, range, empty",
    Kind.TIME: "value, range, empty",
    Kind.DATETIME: "value, range, empty",
    Kind.NUMBER: "value, list",
    Kind.DECIMAL: "value, list",
}


def table() -> str:
    """Give the table as Markdown."""
    head = ["| level | key | tag | VR | matching | returned unasked |", "|---|---|---|---|---|---|"]
    at = (one for level in Level for one in INDEXED if one.level is level)
    lines = [*head, *map(_line, at)]
    return "\n".join(lines)


def page(text: str) -> str:
    """Give the page with its table written anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _line(attribute: IndexedAttribute) -> str:
    matching = _MATCHING[attribute.kind]
    if attribute.name in {"image_type", "modalities_in_study"}:
        matching += ", every one of several"
    tags = ".".join(attribute.path)
    returned = "yes" if attribute.tag in RETURNED[attribute.level] else ""
    key = attribute.keyword.replace(".", ".<wbr>")
    return f"| {attribute.level} | {key} | `{tags}` | {attribute.vr} | {matching} | {returned} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
