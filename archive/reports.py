"""Structured reports as words: the content tree as HTML and as plain text (PS3.3 §C.17.3).

Owns reading the tree from the metadata and laying it out; PS3.18 Table 8.7.4-1 says which forms
there are, and leaves how they look to the server.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

Metadata = Mapping[str, Any]
"""DICOM JSON: tag → attribute."""

_CONTENT, _CONCEPT, _VALUE_TYPE = "0040A730", "0040A043", "0040A040"
_PLAIN_VALUES = {
    "TEXT": "0040A160",
    "DATETIME": "0040A120",
    "DATE": "0040A121",
    "TIME": "0040A122",
    "PNAME": "0040A123",
    "UIDREF": "0040A124",
    "SCOORD": "00700023",
    "SCOORD3D": "00700023",
    "TCOORD": "0040A130",
}
_DEEPEST = 64
_STYLE = (
    "body{font:1rem/1.5 sans-serif;margin:2rem auto;max-width:50rem;padding:0 1rem}"
    "ul{list-style:none;padding-left:1.5rem}dt{font-weight:bold}dd{margin:0 0 .25rem 0}"
    ".name{font-weight:bold}"
)


@dataclass(frozen=True, slots=True)
class Content:
    """One content item: what it is about, what it says, and what is below it."""

    name: str
    value: str
    items: tuple["Content", ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A report, and whose it is."""

    about: tuple[tuple[str, str], ...]
    """Label and text of what stands above it."""
    root: Content


def read_report(metadata: Metadata) -> Report | None:
    """Read the report of an instance; None for an instance without a content tree."""
    if _CONTENT not in metadata and _VALUE_TYPE not in metadata:
        return None
    about = (
        ("Patient", _text(metadata, "00100010")),
        ("Patient ID", _text(metadata, "00100020")),
        ("Born", _text(metadata, "00100030")),
        ("Study", _text(metadata, "00081030")),
        ("Accession", _text(metadata, "00080050")),
        ("Written", _text(metadata, "00080023")),
        ("State", f"{_text(metadata, '0040A491')} {_text(metadata, '0040A493')}".strip()),
    )
    told = tuple((label, text) for label, text in about if text)
    return Report(told, _content(metadata, _DEEPEST))


def report_text(report: Report) -> str:
    """Write a report as plain text, what is below something being indented."""
    head = [f"{label}: {text}" for label, text in report.about]
    return "\n".join([*head, "", *_lines(report.root, 0), ""])


def report_html(report: Report) -> str:
    """Write a report as a page that loads and runs nothing."""
    title = escape(report.root.name or "Report")
    about = "".join(
        f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in report.about
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{title}</h1><dl>{about}</dl>{_list(report.root.items)}</body></html>\n"
    )


def _content(item: Metadata, deepest: int) -> Content:
    below = _items(item, _CONTENT) if deepest else []
    return Content(
        _meaning(item, _CONCEPT),
        _value(item),
        tuple(_content(inner, deepest - 1) for inner in below),
    )


def _value(item: Metadata) -> str:
    """Give what a content item says (PS3.3 Table C.17.3-7)."""
    kind = _text(item, _VALUE_TYPE)
    if kind == "CODE":
        return _meaning(item, "0040A168")
    if kind == "NUM":
        measured = next(iter(_items(item, "0040A300")), {})
        unit = _text(next(iter(_items(measured, "004008EA")), {}), "00080100")
        return " ".join(part for part in (_text(measured, "0040A30A"), unit) if part != "1")
    if kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        return _text(next(iter(_items(item, "00081199")), {}), "00081155")
    if kind in _PLAIN_VALUES:
        return _text(item, _PLAIN_VALUES[kind])
    reference = item.get("0040DB73", {}).get("Value", [])  # PS3.3 §C.17.3.2.5, by reference
    return "see item " + ".".join(map(str, reference)) if reference else ""


def _lines(content: Content, depth: int) -> Iterator[str]:
    indent = "  " * depth
    value = content.value.replace("\n", f"\n{indent}  ")
    yield indent + ": ".join(part for part in (content.name, value) if part)
    for inner in content.items:
        yield from _lines(inner, depth + 1)


def _list(items: Sequence[Content]) -> str:
    if not items:
        return ""
    return "<ul>" + "".join(map(_list_item, items)) + "</ul>"


def _list_item(content: Content) -> str:
    name = f'<span class="name">{escape(content.name)}</span>' if content.name else ""
    value = "<br>".join(escape(content.value).splitlines())
    return f"<li>{': '.join(part for part in (name, value) if part)}{_list(content.items)}</li>"


def _meaning(item: Metadata, tag: str) -> str:
    code = next(iter(_items(item, tag)), {})
    return _text(code, "00080104") or _text(code, "00080100")


def _items(item: Metadata, tag: str) -> list[Metadata]:
    return [value or {} for value in item.get(tag, {}).get("Value", [])]


def _text(item: Metadata, tag: str) -> str:
    """Give the values of an attribute in a line; a person's name by its first group."""
    shown = []
    for value in item.get(tag, {}).get("Value", []):
        if isinstance(value, Mapping):
            groups = (value.get(name) for name in ("Alphabetic", "Ideographic", "Phonetic"))
            name = next((group for group in groups if group), "")
            shown.append(", ".join(part for part in str(name).split("^")[:2] if part))
        elif value is not None:
            shown.append(str(value))
    return "\\".join(shown).replace("\r\n", "\n").replace("\r", "\n").strip()
