"""Where everything in the tissue lies: layers, crypts, vessels, follicles and every nucleus.

The wall of the colon is laid out flat in coordinates `s` (along the surface) and `d` (depth below
it), both in pixels of 0.25 µm, and bent into the picture by a conformal map: depth stays at right
angles to the surface, and what is round stays round.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scripts.demo_slide.textures import Floats, Textures, smooth

type Complexes = NDArray[np.complex128]

WIDTH, HEIGHT = 24_000, 18_000
"""Size of the slide in pixels: 6.0 × 4.5 mm."""

_TURN = np.exp(-0.055j)  # nobody lays a section quite straight
_ORIGIN = 700 + 2_850j
_SURFACE = 1_500.0  # how far below the origin the surface lies before it is bent
# Amplitude and wave number of each bend; a positive one fades with depth, a negative one grows.
_BENDS = (
    (1_500.0, 2 * np.pi / 25_000, 0.75),
    (640.0, 2 * np.pi / 8_600, 2.3),
    (120.0, -2 * np.pi / 31_000, 0.4),
)
_START, _END = 1_750.0, 22_350.0
_MUCOSA, _MUSCULARIS, _SUBMUCOSA, _INNER, _OUTER, _SEROSA = (
    2_060.0,
    235.0,
    4_560.0,
    6_950.0,
    9_150.0,
    9_950.0,
)
_PITCH = 366.0
EPITHELIUM = 104.0
"""Height of the crypts' epithelium in pixels."""
_SURFACE_EPITHELIUM = 88.0
_FAT_CELL = 270.0


def _bent(z: Complexes) -> Complexes:
    shift = np.zeros_like(z)
    for amplitude, k, phase in _BENDS:
        shift += amplitude * np.exp(1j * (k * z + phase))
    return shift


def flatten(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Give `(s, d)` of picture positions; well above the tissue `d` is only negative."""
    z = (x + 1j * y - _ORIGIN) * _TURN
    w = z + _bent(z.real + 1j * np.maximum(z.imag, 0))
    return w.real, np.where(z.imag > 0, w.imag - _SURFACE, -1_000)


def bend(s: Floats, d: Floats) -> tuple[Floats, Floats, Floats]:
    """Give `(x, y)` of positions in the flat wall, and the surface's direction there in radians."""
    w = s + 1j * (d + _SURFACE)
    z = w.copy()
    for _ in range(24):
        z = w - _bent(z.real + 1j * np.maximum(z.imag, -400))
    slope = 1 + sum(1j * k * a * np.exp(1j * (k * z + phase)) for a, k, phase in _BENDS)
    at = z / _TURN + _ORIGIN
    return at.real, at.imag, -np.angle(slope * _TURN)


def _round(first: Floats, second: Floats, radius: float) -> Floats:
    """Give the depth below two edges whose corner is rounded."""
    corner = np.hypot(np.maximum(radius - first, 0), np.maximum(radius - second, 0))
    depth: Floats = np.minimum(np.maximum(np.minimum(first, second), radius), radius - corner)
    return depth


def _step(value: Floats, start: float, end: float) -> Floats:
    """Rise smoothly from 0 at `start` to 1 at `end`."""
    part = np.clip((value - start) / (end - start), 0, 1)
    rise: Floats = (part * part * (3 - 2 * part)).astype(np.float32)
    return rise


@dataclass(frozen=True, slots=True)
class Fields:
    """What is where, for any array of positions; lengths in pixels, weights 0 to 1."""

    s: Floats
    d: Floats
    inside: Floats  # depth below the cut edge or the surface, negative outside the tissue
    mucosa: Floats
    muscularis: Floats  # muscularis mucosae
    submucosa: Floats
    inner: Floats  # muscle layer, fibres along the surface
    outer: Floats  # muscle layer, fibres cut across
    fat: Floats
    membrane: Floats  # distance between a fat cell's wall and here
    apex: Floats  # height above the epithelium's base, negative in the stroma
    lumen: Floats  # depth below the epithelium's top, positive inside a crypt's opening
    vessel: Floats  # distance from a vessel's inner wall, negative within
    wall: Floats  # thickness of that vessel's wall
    follicle: Floats
    centre: Floats  # germinal centre of the follicle
    stain: Floats  # how strongly this region took the stain, about 1


@dataclass(frozen=True, slots=True)
class Crypts:
    """Tubes from the surface down, each `(crypts,)`; a tube leaves and enters the section plane."""

    s: Floats
    radius: Floats
    bottom: Floats
    sway: Floats
    sway_length: Floats
    sway_phase: Floats
    offset: Floats
    drift: Floats
    drift_length: Floats
    drift_phase: Floats

    @classmethod
    def make(cls, rng: np.random.Generator) -> Self:
        """Place one crypt every pitch, none like its neighbour."""
        n = int(WIDTH / _PITCH) + 6
        return cls(
            s=(np.arange(n) - 2) * _PITCH + rng.uniform(-34, 34, n),
            radius=rng.uniform(136, 168, n),
            bottom=_MUCOSA - rng.uniform(150, 420, n),
            sway=rng.uniform(8, 46, n),
            sway_length=rng.uniform(1_100, 2_600, n),
            sway_phase=rng.uniform(0, 6.3, n),
            offset=rng.normal(0, 38, n),
            drift=rng.uniform(10, 150, n),
            drift_length=rng.uniform(1_400, 4_200, n),
            drift_phase=rng.uniform(0, 6.3, n),
        )

    def axis(self, index: NDArray[np.intp], d: Floats | Floats) -> tuple[Floats, Floats]:
        """Give the axis of crypt `index` at depth `d`: along the surface, and out of the plane."""
        along = self.s[index] + self.sway[index] * np.sin(
            2 * np.pi * d / self.sway_length[index] + self.sway_phase[index]
        )
        out = self.offset[index] + self.drift[index] * np.sin(
            2 * np.pi * d / self.drift_length[index] + self.drift_phase[index]
        )
        return along, out

    def depth(self, s: Floats, d: Floats) -> Floats:
        """Give the distance from the nearest crypt's base, positive inside the crypt."""
        near = np.rint(s / _PITCH).astype(np.intp) + 2
        best = np.full(s.shape, -1e4, np.float32)
        for side in (-1, 0, 1):
            index = np.clip(near + side, 0, len(self.s) - 1)
            along, out = self.axis(index, d)
            below = np.maximum(d - self.bottom[index], 0)
            distance = np.sqrt((s - along) ** 2 + out**2 + below**2)
            best = np.maximum(best, (self.radius[index] - distance).astype(np.float32))
        return best


@dataclass(frozen=True, slots=True)
class Placed:
    """Every stamp of the slide, each array `(stamps,)`, in the order they are stamped."""

    x: Floats
    y: Floats
    angle: Floats
    kind: NDArray[np.uint8]
    variant: NDArray[np.uint8]

    def within(self, left: int, top: int, side: int, margin: int) -> Self:
        """Give the stamps that can touch a block."""
        chosen = (
            (self.x > left - margin)
            & (self.x < left + side + margin)
            & (self.y > top - margin)
            & (self.y < top + side + margin)
        )
        return type(self)(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Scene:
    """The whole tissue, flat."""

    textures: Textures
    crypts: Crypts
    vessels: Floats  # (vessels, 6): s, d, radius, wall, stretch along s, how full of red cells
    follicles: Floats  # (follicles, 3): s, d, radius
    fat_shift: Floats  # (64, 64, 2) fractions of a cell: where fat cells sit in their grid

    @classmethod
    def make(cls, seed: int) -> Self:
        """Lay the tissue out; the same seed gives the same tissue."""
        rng = np.random.default_rng([seed, 3])
        crypts = Crypts.make(rng)
        follicles = np.array(
            [[5_600, 2_330, 640], [14_250, 2_420, 760], [19_900, 2_250, 520]], float
        )
        for s, d, radius in follicles:
            across = np.clip(1 - ((crypts.s - s) / (radius * 1.08)) ** 2, 0, None)
            np.minimum(
                crypts.bottom,
                d - 1.05 * radius * np.sqrt(across) - 150,
                where=across > 0,
                out=crypts.bottom,
            )
        return cls(
            textures=Textures.make(seed),
            crypts=crypts,
            vessels=_vessels(rng, follicles),
            follicles=follicles,
            fat_shift=rng.uniform(0.12, 0.88, (64, 64, 2)),
        )

    def fields(self, s: Floats, d: Floats) -> Fields:
        """Say what lies at each position."""
        cloud = self.textures.cloud
        rough = smooth(cloud, s / 14, d / 14)
        slow = smooth(cloud, s / 70 + 311, d / 70 + 97)
        wavy = d + 26 * rough
        ground = _MUCOSA + 110 * smooth(cloud, s / 60, np.zeros_like(s) + 40)
        sub_end = _SUBMUCOSA + 190 * smooth(cloud, s / 85, np.zeros_like(s) + 180)
        inner_end = _INNER + 120 * smooth(cloud, s / 75, np.zeros_like(s) + 420)
        outer_end = _OUTER + 150 * smooth(cloud, s / 70, np.zeros_like(s) + 600)
        ragged = 60 * rough + 150 * slow
        lower = _SEROSA + 260 * smooth(cloud, s / 90, np.zeros_like(s) + 800) + 45 * rough - d
        sides = np.minimum(s - _START + 0.05 * (d - 3_000), _END - s - 0.10 * (d - 5_000)) + ragged
        sides += 170 * smooth(cloud, s * 0 + 90, d / 40) + 60 * slow
        inside = np.minimum(_round(d + 9 * rough, sides, 420), _round(lower, sides, 1_300)).astype(
            np.float32
        )
        muscularis_end = ground + _MUSCULARIS
        below = [_step(wavy, 0, 1)] + [
            _step(wavy - level, -18, 18)
            for level in (ground, muscularis_end, sub_end, inner_end, outer_end)
        ]
        # Lobules of fat in the submucosa, and the fat that carries the vessels below the muscle.
        lobule = below[2] * (1 - below[3]) * _step(slow - 0.3 * rough, 1.15, 1.3)
        fat = np.clip(below[5] + lobule, 0, 1)
        follicle, centre = self._follicles(s, d, rough)
        base = self.crypts.depth(s, d) + 5 * rough
        base[d > _MUCOSA] = -1e3
        apex = np.maximum(base, _SURFACE_EPITHELIUM - d).astype(np.float32)
        vessel, wall = self._vessel(s, d, rough)
        vessel = np.maximum(vessel, apex + 14)  # a capillary lies beside a crypt, never in it
        return Fields(
            s=s,
            d=d,
            inside=inside,
            mucosa=1 - below[1],
            muscularis=below[1] * (1 - below[2]) * (1 - follicle),
            submucosa=below[2] * (1 - below[3]) * (1 - fat),
            inner=below[3] * (1 - below[4]),
            outer=below[4] * (1 - below[5]),
            fat=fat.astype(np.float32),
            membrane=self._membrane(s, d) if fat.max() > 0 else np.zeros_like(s),
            apex=apex,
            lumen=(base - EPITHELIUM).astype(np.float32),
            vessel=vessel,
            wall=wall,
            follicle=follicle,
            centre=centre,
            stain=(1 + 0.055 * slow + 0.02 * rough).astype(np.float32),
        )

    def _follicles(self, s: Floats, d: Floats, rough: Floats) -> tuple[Floats, Floats]:
        follicle, centre = np.zeros_like(s), np.zeros_like(s)
        for at_s, at_d, radius in self.follicles:
            distance = np.hypot(s - at_s, (d - at_d) * 1.15) + 34 * rough
            follicle = np.maximum(follicle, 1 - _step(distance, radius * 0.9, radius * 1.14))
            centre = np.maximum(centre, 1 - _step(distance, radius * 0.44, radius * 0.56))
        return follicle, centre

    def _vessel(self, s: Floats, d: Floats, rough: Floats) -> tuple[Floats, Floats]:
        nearest = np.full(s.shape, 1e4, np.float32)
        wall = np.ones_like(s)
        reach = self.vessels[:, 2] * self.vessels[:, 4] + 300
        close = (
            (self.vessels[:, 0] > s.min() - reach)
            & (self.vessels[:, 0] < s.max() + reach)
            & (self.vessels[:, 1] > d.min() - reach)
            & (self.vessels[:, 1] < d.max() + reach)
        )
        for at_s, at_d, radius, thick, stretch, _ in self.vessels[close]:
            distance = (
                np.hypot((s - at_s) / stretch, (d - at_d) * stretch)
                - radius
                + 0.06 * radius * rough
            )
            closer = distance - thick < nearest - wall
            nearest[closer] = distance[closer]
            wall[closer] = thick
        return nearest, wall

    def _membrane(self, s: Floats, d: Floats) -> Floats:
        """Give the distance to the nearest wall between two fat cells (Worley's F2 - F1)."""
        column, row = np.floor(s / _FAT_CELL).astype(int), np.floor(d / _FAT_CELL).astype(int)
        first = np.full(s.shape, 1e9, np.float32)
        second = first.copy()
        for right in (-1, 0, 1):
            for down in (-1, 0, 1):
                shift = self.fat_shift[(row + down) & 63, (column + right) & 63]
                distance = np.hypot(
                    s - (column + right + shift[..., 0]) * _FAT_CELL,
                    d - (row + down + shift[..., 1]) * _FAT_CELL,
                ).astype(np.float32)
                second = np.minimum(second, np.maximum(first, distance))
                first = np.minimum(first, distance)
        return (second - first) / 2


def _vessels(rng: np.random.Generator, follicles: Floats) -> Floats:
    """Place small vessels in the mucosa, larger ones in the submucosa and the outer fat."""
    found: list[tuple[float, ...]] = []
    plan = [
        (46, 300, 1_950, 13, 30, 6),
        (34, 2_450, 4_400, 45, 190, 22),
        (7, 2_900, 4_000, 220, 330, 60),
        (22, 9_250, 9_800, 50, 170, 24),
    ]
    for count, above, under, small, large, thick in plan:
        for _ in range(count):
            s, d = rng.uniform(_START + 500, _END - 900), rng.uniform(above, under)
            radius = small * (large / small) ** rng.uniform()
            if any(np.hypot(s - f[0], d - f[1]) < f[2] * 1.2 + radius for f in follicles):
                continue
            if any(np.hypot(s - o[0], d - o[1]) < 1.6 * (o[2] + radius) + 2 * thick for o in found):
                continue
            artery = rng.uniform() < 0.4
            wall = thick + radius * (0.42 if artery else 0.10)
            found.append(
                (
                    s,
                    d,
                    radius * (0.72 if artery else 1),
                    wall,
                    rng.uniform(0.8, 1.45),
                    rng.uniform() ** 0.5,
                )
            )
    return np.array(found)
