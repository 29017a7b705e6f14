"""Words burned into a picture because somebody asked for them (PS3.18 §8.3.5.1.1).

Owns what is said of patient and technique, and where it stands; "the exact nature and presentation"
are the server's. The face at the door has seen to it that who asks may read the study.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from archive.render_options import Annotation

_SMALLEST, _LARGEST = 9, 64
_MARGIN = 0.5
"""Of a line's height."""
_SHOWN = 120
"""Characters of a value."""


@dataclass(frozen=True, slots=True)
class Captions:
    """What can be said of an instance."""

    patient: tuple[str, ...] = ()
    technique: tuple[str, ...] = ()


def captions_of(metadata: Mapping[str, Any]) -> Captions:
    """Read the captions of an instance from its metadata (DICOM JSON)."""
    born, sex = _text(metadata, "00100030"), _text(metadata, "00100040")
    patient = (
        _text(metadata, "00100010"),
        _labelled("ID", _text(metadata, "00100020")),
        _labelled("Born", " ".join(part for part in (born, sex) if part)),
    )
    lens = _inside(metadata, "00480105", "00480112")
    technique = (
        " ".join(part for part in (_text(metadata, tag) for tag in _DEVICE) if part),
        _labelled("Container", _text(metadata, "00400512")),
        _labelled("Acquired", _text(metadata, "0008002A") or _text(metadata, "00080020")),
        f"{lens}x" if lens else "",
    )
    return Captions(_filled(patient), _filled(technique))


_DEVICE = ("00080060", "00080070", "00081090")  # Modality, Manufacturer, its Model Name


def annotated(image: Image.Image, captions: Captions, asked: Sequence[Annotation]) -> Image.Image:
    """Burn captions in: technique at the top, patient at the bottom, each on a dark band.

    The font knows Latin letters; others stand as empty boxes rather than being left out.
    """
    image = image.copy()
    draw = ImageDraw.Draw(image)
    size = min(max(image.height // 32, _SMALLEST), _LARGEST)
    font = ImageFont.load_default(size)
    line, margin = round(size * 1.25), round(size * _MARGIN)
    for kind, lines in (
        (Annotation.TECHNIQUE, captions.technique),
        (Annotation.PATIENT, captions.patient),
    ):
        if kind not in asked or not lines:
            continue
        height = line * len(lines) + margin
        top = 0 if kind is Annotation.TECHNIQUE else max(image.height - height, 0)
        black, white = (0, 255) if image.mode == "L" else ((0, 0, 0), (255, 255, 255))
        draw.rectangle((0, top, image.width, top + height), fill=black)
        for number, text in enumerate(lines):
            draw.text((margin, top + margin // 2 + number * line), text, fill=white, font=font)
    return image


def _filled(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if line)


def _labelled(label: str, text: str) -> str:
    return f"{label} {text}" if text else ""


def _text(metadata: Mapping[str, Any], tag: str) -> str:
    values = metadata.get(tag, {}).get("Value") or [""]
    value = values[0]
    if isinstance(value, dict):  # a person's name, component groups apart
        groups = (value.get(name) for name in ("Alphabetic", "Ideographic", "Phonetic"))
        value = next((group for group in groups if group), "")
        value = ", ".join(part for part in str(value).split("^")[:2] if part)
    return " ".join(str("" if value is None else value).split())[:_SHOWN]


def _inside(metadata: Mapping[str, Any], sequence: str, tag: str) -> str:
    items = metadata.get(sequence, {}).get("Value") or [{}]
    return _text(items[0] or {}, tag)
