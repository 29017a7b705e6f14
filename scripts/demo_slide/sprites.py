"""Small stamps: nuclei of several kinds, mucin droplets, red blood cells, each in many turns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scripts.demo_slide.textures import Floats

TURNS = 16
"""Directions each stamp is drawn in, over half a turn: nuclei have two like ends."""

VARIANTS = 12
"""Different stamps of each kind."""


class Kind(IntEnum):
    """What a stamp shows; the order is that of `Sprites.stamps`."""

    EPITHELIUM = 0  # oval, open chromatin
    LYMPHOCYTE = 1  # round and dark
    PLASMA = 2  # round, clock-face chromatin
    FIBROBLAST = 3  # thin spindle
    MUSCLE = 4  # long, blunt: a cigar
    CENTRE = 5  # large and pale: germinal centre
    GOBLET = 6  # mucin droplet
    RED_CELL = 7


@dataclass(frozen=True, slots=True)
class _Shape:
    half_length: float  # pixels at 0.25 µm
    half_width: float
    depth: float  # optical density of the stain at its middle
    texture: float  # how coarse the chromatin is, 0 to 1
    rim: float  # how much darker the edge is


_SHAPES = {
    Kind.EPITHELIUM: _Shape(17.0, 9.5, 0.84, 0.42, 0.28),
    Kind.LYMPHOCYTE: _Shape(11.0, 10.2, 1.04, 0.40, 0.14),
    Kind.PLASMA: _Shape(11.5, 10.6, 0.78, 0.68, 0.30),
    Kind.FIBROBLAST: _Shape(22.0, 4.2, 0.92, 0.25, 0.08),
    Kind.MUSCLE: _Shape(30.0, 5.6, 0.78, 0.25, 0.14),
    Kind.CENTRE: _Shape(16.0, 14.0, 0.58, 0.55, 0.34),
    Kind.GOBLET: _Shape(27.0, 19.0, 1.0, 0.0, 0.0),
    Kind.RED_CELL: _Shape(13.5, 12.0, 1.0, 0.0, 0.0),
}


def _speckle(rng: np.random.Generator, side: int, scale: float) -> Floats:
    """Give a `(side, side)` smooth noise of variance about 1, features `scale` pixels wide."""
    coarse = rng.standard_normal((int(side / scale) + 3, int(side / scale) + 3))
    at = np.arange(side) / scale
    low = at.astype(int)
    part = at - low
    part = part * part * (3 - 2 * part)
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    both = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    noise: Floats = (both * 1.5).astype(np.float32)
    return noise


def _draw(rng: np.random.Generator, kind: Kind) -> list[Floats]:
    """Draw one variant of a kind in every direction."""
    shape = _SHAPES[kind]
    half_length = shape.half_length * rng.uniform(0.82, 1.16)
    half_width = shape.half_width * rng.uniform(0.82, 1.16)
    side = 2 * int(np.ceil(1.25 * half_length)) + 7
    wobble = rng.normal(0, 0.055, 3)
    phases = rng.uniform(0, 2 * np.pi, 3)
    chromatin = _speckle(rng, side, 3.2) + 0.6 * _speckle(rng, side, 6.5)
    spots = rng.normal(0, 0.38, (rng.integers(0, 3), 2))
    middle = (side - 1) / 2
    y, x = np.mgrid[:side, :side].astype(np.float32) - middle
    stamps = []
    for turn in range(TURNS):
        angle = np.pi * turn / TURNS
        u = (x * np.cos(angle) + y * np.sin(angle)) / half_length
        v = (y * np.cos(angle) - x * np.sin(angle)) / half_width
        around = np.arctan2(v, u)
        radius = np.hypot(u, v)
        for k in range(3):
            radius = radius * (1 + wobble[k] * np.cos((k + 2) * around + phases[k]))
        # Softness is a few pixels whatever the size: that of a 0.75 NA lens, not of the cell.
        inside = 1 / (1 + np.exp((radius - 1) * half_width / 0.95))
        if kind is Kind.GOBLET:
            stamp = inside * (1 - 0.35 * np.exp(-(((radius - 0.95) / 0.22) ** 2)))
        elif kind is Kind.RED_CELL:
            stamp = inside * (0.78 + 0.22 * np.clip(radius, 0, 1) ** 2)
        else:
            body = 1 + shape.texture * 0.34 * chromatin
            body += shape.rim * np.exp(-(((radius - 0.88) / 0.16) ** 2))
            for at in spots if kind in (Kind.EPITHELIUM, Kind.CENTRE) else ():
                body += 0.55 * np.exp(-((u - at[0]) ** 2 + (v - at[1]) ** 2) / 0.035)
            stamp = shape.depth * inside * np.clip(body, 0.35, 1.9)
        stamps.append(stamp.astype(np.float32))
    return stamps


@dataclass(frozen=True, slots=True)
class Sprites:
    """Stamps by kind, variant and turn; each `(side, side)` float32, side odd."""

    stamps: tuple[tuple[tuple[Floats, ...], ...], ...]

    @classmethod
    def make(cls, seed: int) -> Sprites:
        """Draw all of them; the same seed gives the same stamps."""
        rng = np.random.default_rng([seed, 2])
        return cls(tuple(tuple(tuple(_draw(rng, kind)) for _ in range(VARIANTS)) for kind in Kind))

    def pick(self, kind: int, variant: int, angle: float) -> Floats:
        """Give the stamp nearest to `angle` (radians, clockwise from the x axis)."""
        turn = round(angle / np.pi * TURNS) % TURNS
        return self.stamps[kind][variant % VARIANTS][turn]
