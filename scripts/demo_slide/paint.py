"""Painting a block of the slide: stain concentrations, stamps, then Beer-Lambert's law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.demo_slide.placing import place
from scripts.demo_slide.scene import EPITHELIUM, Fields, Placed, Scene, flatten
from scripts.demo_slide.sprites import Kind, Sprites
from scripts.demo_slide.textures import SIZE, Floats, nearest

type Pixels = NDArray[np.uint8]

BLOCK = 512
"""Edge of a painted block in pixels: its arrays, a megabyte each, stay in a processor's cache."""

_COARSE = 4  # geometry is smooth: worked out every 4 pixels, then interpolated
_MARGIN = 2
_REACH = 48  # no stamp is larger than twice this

BACKGROUND = (243, 242, 244)
"""Bare glass under this scanner's lamp, red, green, blue."""

# Optical density of red, green and blue light a unit of each stain takes away.
_HEMATOXYLIN = (0.78, 0.86, 0.40)
_EOSIN = (0.085, 0.62, 0.285)
_RED_CELLS = (0.11, 0.86, 0.62)


@dataclass(frozen=True, slots=True)
class Painter:
    """Everything a block is painted from; the same seed paints the same slide."""

    scene: Scene
    sprites: Sprites
    placed: Placed

    @classmethod
    def make(cls, seed: int) -> Self:
        """Lay out and place everything."""
        scene = Scene.make(seed)
        return cls(scene=scene, sprites=Sprites.make(seed), placed=place(scene, seed))

    def block(self, left: int, top: int) -> Pixels | None:
        """Paint the block at `(left, top)`, `(BLOCK, BLOCK, 3)` uint8; None where only glass is."""
        coarse = self._coarse(left, top)
        if coarse.inside.max() < -2:
            return None
        at = _Upsampled(coarse)
        eosin, hematoxylin = self._ground(at)
        nuclei, droplets, red = self._stamps(left, top)
        hematoxylin *= 1 - 0.9 * droplets
        eosin *= (1 - 0.80 * droplets) * (1 - 0.42 * np.minimum(nuclei, 1))
        hematoxylin += 0.10 * droplets + nuclei
        alpha = np.clip(at["inside"] * 0.4 + 0.5, 0, 1) * at["stain"]
        rows, columns = top % SIZE, left % SIZE
        noise = self.scene.textures.sensor[rows : rows + BLOCK, columns : columns + BLOCK]
        return _light(eosin * alpha, hematoxylin * alpha, red, noise * (1.1 * np.clip(alpha, 0, 1)))

    def _coarse(self, left: int, top: int) -> Fields:
        steps = (np.arange(BLOCK // _COARSE + 2 * _MARGIN) - _MARGIN + 0.5) * _COARSE
        s, d = flatten(left + steps[None, :], top + steps[:, None])
        return self.scene.fields(s.astype(np.float32), d.astype(np.float32))

    def _ground(self, at: _Upsampled) -> tuple[Floats, Floats]:
        """Give eosin and hematoxylin of everything but nuclei."""
        tex = self.scene.textures
        s, d = at["s"], at["d"]
        grain = nearest(tex.grain, s, d)
        eosin = np.zeros_like(s)
        hematoxylin = np.full_like(s, 0.015)
        for name in ("mucosa", "muscularis", "submucosa", "inner", "outer", "fat"):
            if at.most(name) > 0.004:
                amount, blue = getattr(self, f"_{name}")(at, s, d, grain)
                eosin += at[name] * amount
                hematoxylin += at[name] * blue
        if at.most("follicle") > 0.01:
            amount = at["follicle"] * (1 - np.clip(at["apex"] * 0.2, 0, 1))
            eosin += amount * (0.30 + 0.05 * grain - eosin)
            hematoxylin += amount * (0.16 - 0.05 * at["centre"])
        if at.least("vessel") < 120:
            self._vessel(at, s, d, eosin, hematoxylin)
        return np.maximum(eosin, 0), np.maximum(hematoxylin, 0)

    def _mucosa(self, at: _Upsampled, s: Floats, d: Floats, grain: Floats) -> tuple[Floats, Floats]:
        tex = self.scene.textures
        apex = at["apex"] + 1.6 * grain
        clump = nearest(tex.clump, s, d)
        wave = 30 * nearest(tex.cloud, s * 0.3, d * 0.3)
        fibre = nearest(tex.fibre, (d + wave) * 0.8, (s + wave) * 0.7)
        stroma = np.clip(0.36 + 0.07 * fibre + 0.13 * clump + 0.07 * grain, 0.04, 1)
        # The tissue shrinks away from some crypts as it is fixed; the basement membrane does not.
        away = -apex
        stroma *= 1 - 0.55 * np.clip(clump + 0.35, 0, 1) * np.exp(-(((away - 13) / 6) ** 2))
        stroma += 0.28 * np.exp(-(((away - 3.0) / 2.6) ** 2))
        border = np.cos(d * (2 * np.pi / 25) + 1.5 * clump)
        height = np.clip(apex / EPITHELIUM, 0, 1)
        cell = (
            0.52 + 0.06 * grain + 0.05 * clump - 0.10 * height + 0.05 * np.maximum(border - 0.6, 0)
        )
        cell += 0.22 * np.exp(-(((at["lumen"] + 3) / 3) ** 2))  # brush border
        inside = np.clip(apex * 0.45 + 0.5, 0, 1)
        opening = np.clip((at["lumen"] + 1.5 * grain) * 0.4 + 0.5, 0, 1)
        eosin = stroma + inside * (cell - stroma)
        eosin += opening * (0.035 + 0.05 * np.clip(clump, 0, 2) - eosin)
        blue = 0.05 + inside * (0.13 - 0.04 * height) * (1 - opening) + 0.02 * opening
        return eosin, blue

    def _muscularis(
        self, at: _Upsampled, s: Floats, d: Floats, grain: Floats
    ) -> tuple[Floats, float]:
        fibre = nearest(self.scene.textures.fibre, s, d)
        return 0.70 + 0.13 * fibre + 0.05 * grain, 0.06

    def _submucosa(
        self, at: _Upsampled, s: Floats, d: Floats, grain: Floats
    ) -> tuple[Floats, float]:
        tex = self.scene.textures
        wave = 34 * nearest(tex.cloud, s * 0.22, d * 0.22)
        bundle = nearest(tex.bundle, (s + d * 0.3) * 0.42, (d + wave) * 0.36)
        fibre = nearest(tex.fibre, s, d + 0.4 * wave)
        dense = np.clip(bundle * 1.5 - 0.22, 0, 1)
        return dense * (0.50 + 0.11 * fibre) + 0.05 + 0.03 * grain * dense, 0.012

    def _inner(self, at: _Upsampled, s: Floats, d: Floats, grain: Floats) -> tuple[Floats, float]:
        tex = self.scene.textures
        wave = 26 * nearest(tex.cloud, s * 0.16, d * 0.16)
        fibre = nearest(tex.fibre, s * 0.8, d + wave)
        cleft = np.clip(nearest(tex.bundle, s * 0.15 + 500, (d + 2 * wave) * 0.13) * 5 - 0.10, 0, 1)
        return (0.68 + 0.12 * fibre + 0.04 * grain) * (0.28 + 0.72 * cleft), 0.05

    def _outer(self, at: _Upsampled, s: Floats, d: Floats, grain: Floats) -> tuple[Floats, float]:
        tex = self.scene.textures
        wave = 50 * nearest(tex.cloud, s * 0.12 + 77, d * 0.12)
        cells = nearest(tex.clump, (s + wave) * 1.25, (d - wave) * 1.25)
        cleft = np.clip(
            nearest(tex.bundle, (d + wave) * 0.16, (s - wave) * 0.17) * 4.5 - 0.10, 0, 1
        )
        membrane = np.exp(-((cells / 0.28) ** 2))
        return (0.66 + 0.05 * cells - 0.20 * membrane + 0.05 * grain) * (0.22 + 0.78 * cleft), 0.045

    def _fat(self, at: _Upsampled, s: Floats, d: Floats, grain: Floats) -> tuple[Floats, float]:
        wall = np.exp(-((at["membrane"] / (3.1 + 0.5 * grain)) ** 2))
        return 0.46 * wall + 0.012, 0.0

    def _vessel(self, at: _Upsampled, s: Floats, d: Floats, eosin: Floats, blue: Floats) -> None:
        """Lay vessel walls and what is in them over the ground, in place."""
        depth, wall = at["vessel"], at["wall"]
        fibre = nearest(self.scene.textures.fibre, depth * 1.3 + s * 0.2, s * 0.5 + d * 0.5)
        ring = np.clip(depth * 0.5 + 0.5, 0, 1) * np.clip((wall - depth) * 0.22, 0, 1)
        eosin += ring * (0.80 + 0.10 * fibre + 0.18 * np.exp(-(((depth - 4) / 3) ** 2)) - eosin)
        bore = np.clip(-depth * 0.5, 0, 1)
        eosin += bore * (0.10 - eosin)
        blue *= 1 - 0.8 * bore

    def _stamps(self, left: int, top: int) -> tuple[Floats, Floats, Floats]:
        """Stamp nuclei, droplets and red cells: each `(BLOCK, BLOCK)` float32."""
        side = BLOCK + 2 * _REACH
        planes = np.zeros((3, side, side), np.float32)
        here = self.placed.within(left, top, BLOCK, _REACH)
        xs = np.rint(here.x - left).astype(int) + _REACH
        ys = np.rint(here.y - top).astype(int) + _REACH
        for x, y, angle, kind, variant in zip(
            xs.tolist(),
            ys.tolist(),
            here.angle.tolist(),
            here.kind.tolist(),
            here.variant.tolist(),
            strict=True,
        ):
            stamp = self.sprites.pick(kind, variant, angle)
            half = stamp.shape[0] // 2
            rows = slice(max(y - half, 0), y + half + 1)
            columns = slice(max(x - half, 0), x + half + 1)
            part = planes[
                1 if kind == Kind.GOBLET else 2 if kind == Kind.RED_CELL else 0, rows, columns
            ]
            cut = stamp[max(half - y, 0) :, max(half - x, 0) :][: part.shape[0], : part.shape[1]]
            np.maximum(part, cut, out=part)
        inner = slice(_REACH, _REACH + BLOCK)
        return planes[0, inner, inner], planes[1, inner, inner], planes[2, inner, inner]


def _light(eosin: Floats, hematoxylin: Floats, red: Floats, noise: Floats) -> Pixels:
    """Turn stain into light (Beer-Lambert): `(BLOCK, BLOCK, 3)` uint8."""
    pixels = np.empty((BLOCK, BLOCK, 3), np.uint8)
    for channel in range(3):
        density = eosin * -_EOSIN[channel]
        density -= hematoxylin * _HEMATOXYLIN[channel]
        density -= red * (_RED_CELLS[channel] * 0.72)
        light = np.exp(density, out=density)
        light *= BACKGROUND[channel]
        light += noise + 0.5
        pixels[..., channel] = np.clip(light, 0, 255, out=light)
    return pixels


class _Upsampled:
    """A block's fields at full size, each made when it is first asked for."""

    def __init__(self, coarse: Fields) -> None:
        self._coarse = coarse
        self._full: dict[str, Floats] = {}

    def __getitem__(self, name: str) -> Floats:
        if name not in self._full:
            box = (_MARGIN, _MARGIN, _MARGIN + BLOCK // _COARSE, _MARGIN + BLOCK // _COARSE)
            image = Image.fromarray(np.ascontiguousarray(getattr(self._coarse, name), np.float32))
            full = image.resize((BLOCK, BLOCK), Image.Resampling.BILINEAR, box=box)
            self._full[name] = np.asarray(full)
        return self._full[name]

    def most(self, name: str) -> float:
        return float(getattr(self._coarse, name).max())

    def least(self, name: str) -> float:
        return float(getattr(self._coarse, name).min())
