"""Placing every nucleus, droplet and red cell of the slide, once, before anything is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scripts.demo_slide.scene import EPITHELIUM, HEIGHT, WIDTH, Fields, Placed, Scene, bend
from scripts.demo_slide.sprites import VARIANTS, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scripts.demo_slide.textures import Floats

_SPACING = 21.0


class _Placer:
    """Collects positions in the flat wall; `angle` is relative to the surface's direction."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rows: list[Floats] = []

    def add(self, kind: Kind, s: Floats, d: Floats, angle: Floats | float) -> None:
        columns = np.broadcast_arrays(s, d, angle, float(kind))
        self.rows.append(np.stack(columns, axis=1).astype(np.float64))

    def placed(self) -> Placed:
        every = np.concatenate(self.rows)
        # Droplets and red cells first: a nucleus lies over them, never under.
        every = every[np.argsort(-(every[:, 3] >= Kind.GOBLET).astype(int), kind="stable")]
        x, y, direction = bend(every[:, 0], every[:, 1])
        return Placed(
            x=x,
            y=y,
            angle=direction + every[:, 2],
            kind=every[:, 3].astype(np.uint8),
            variant=self.rng.integers(0, VARIANTS, len(every)).astype(np.uint8),
        )


def place(scene: Scene, seed: int) -> Placed:
    """Give every stamp of the slide; the same seed gives the same ones."""
    placer = _Placer(np.random.default_rng([seed, 4]))
    for top in range(0, HEIGHT, 1_000):
        _stroma(scene, placer, float(top))
    _crypts(scene, placer)
    _surface(scene, placer)
    _vessels(scene, placer)
    return placer.placed()


def _jittered(
    rng: np.random.Generator, box: tuple[float, float, float, float], spacing: float
) -> tuple[Floats, Floats]:
    """Give points a `spacing` apart and out of line, over `box` = (s0, d0, s1, d1)."""
    s, d = np.meshgrid(np.arange(box[0], box[2], spacing), np.arange(box[1], box[3], spacing))
    s[1::2] += spacing / 2
    shift = rng.uniform(-0.36, 0.36, (2, *s.shape)) * spacing
    return (s + shift[0]).ravel(), (d + shift[1]).ravel()


def _fields_at(scene: Scene, s: Floats, d: Floats) -> Fields:
    return scene.fields(s.astype(np.float32), d.astype(np.float32))


def _stroma(scene: Scene, placer: _Placer, top: float) -> None:
    """Fill everything but epithelium with the cells that belong there."""
    rng = placer.rng
    s, d = _jittered(rng, (1_000, top, WIDTH - 600, top + 1_000), _SPACING)
    at = _fields_at(scene, s, d)
    free = (at.inside > 14) & (at.vessel > at.wall + 6) & (at.apex < -9)
    draw = rng.uniform(size=s.shape)
    angle = rng.uniform(0, np.pi, s.shape)
    along = rng.normal(0, 0.16, s.shape)
    cells = free & (at.follicle > 0.5)
    pale = cells & (at.centre > 0.5)

    def put(kind: Kind, where: NDArray[np.bool_], turn: Floats | None = None) -> None:
        placer.add(kind, s[where], d[where], (angle if turn is None else turn)[where])

    put(Kind.CENTRE, pale & (draw < 0.34))
    put(Kind.LYMPHOCYTE, (pale & (draw > 0.87)) | (cells & ~pale & (draw < 0.86)))
    stroma = free & (at.mucosa > 0.5) & ~cells
    # The lamina propria is busier near the surface, where the world is.
    crowd = 0.30 + 0.16 * np.exp(-at.d / 700) + 0.20 * at.follicle
    put(Kind.LYMPHOCYTE, stroma & (draw < crowd * 0.42))
    put(Kind.PLASMA, stroma & (draw > 1 - crowd * 0.40))
    put(Kind.FIBROBLAST, stroma & (np.abs(draw - 0.55) < crowd * 0.09))
    put(Kind.MUSCLE, free & (at.muscularis > 0.5) & (draw < 0.10), along)
    loose = free & (at.submucosa > 0.5) & ~cells
    put(Kind.FIBROBLAST, loose & (draw < 0.030), along * 2)
    put(Kind.LYMPHOCYTE, loose & (draw > 0.994))
    put(Kind.MUSCLE, free & (at.inner > 0.5) & (draw < 0.062), along * 0.7)
    # Cut across, a muscle cell's nucleus is a dot.
    put(Kind.PLASMA, free & (at.outer > 0.5) & (draw < 0.050))
    put(Kind.FIBROBLAST, free & (at.outer > 0.5) & (draw > 0.993))
    put(Kind.FIBROBLAST, free & (at.fat > 0.5) & (at.membrane < 9) & (draw < 0.09))


def _crypts(scene: Scene, placer: _Placer) -> None:
    """Line every crypt: nuclei at the base of its epithelium, mucin droplets above them."""
    rng, crypts = placer.rng, scene.crypts
    for index in range(len(crypts.s)):
        radius, bottom = crypts.radius[index], crypts.bottom[index]
        if bottom < 500:
            continue
        depths = np.arange(105, bottom + radius, 19.5)
        depths = depths + rng.uniform(-4, 4, depths.shape)
        which = np.full(depths.shape, index)
        axis, out = crypts.axis(which, depths)
        below = np.maximum(depths - bottom, 0)
        for kind, height, share in ((Kind.EPITHELIUM, 27.0, 0.97), (Kind.GOBLET, 64.0, 0.60)):
            for side in (-1.0, 1.0):
                ring = radius - height - rng.normal(0, 4.5, depths.shape)
                across = ring**2 - out**2 - below**2
                there = (across > 30**2) & (rng.uniform(size=depths.shape) < share)
                half = np.sqrt(np.maximum(across, 0))
                # Nuclei stand radially: across the crypt at its side, along it at the bottom.
                lean = np.arctan2(below, side * half)
                _keep(
                    scene,
                    placer,
                    kind,
                    axis[there] + side * half[there],
                    depths[there],
                    lean[there],
                )
        # Where the section only grazes the wall, the cells are seen from above.
        s, d = _jittered(
            rng, (crypts.s[index] - 190, 105, crypts.s[index] + 190, bottom + radius), 27.0
        )
        axis, out = crypts.axis(np.full(s.shape, index), d)
        distance = np.sqrt((s - axis) ** 2 + out**2 + np.maximum(d - bottom, 0) ** 2)
        grazed = (np.abs(out) > radius - 50) & (distance < radius - 9)
        _keep(
            scene,
            placer,
            Kind.EPITHELIUM,
            s[grazed],
            d[grazed],
            rng.uniform(0, np.pi, int(grazed.sum())),
        )
        # Along the bottom the wall is met head on.
        out_there = float(crypts.axis(np.array([index]), np.array([bottom]))[1][0])
        for kind, height, step in ((Kind.EPITHELIUM, 27.0, 0.16), (Kind.GOBLET, 64.0, 0.42)):
            ring_squared = (radius - height) ** 2 - out_there**2
            if ring_squared < 60**2:
                continue
            turn = np.arange(0.55, np.pi - 0.5, step) + rng.uniform(-0.03, 0.03)
            ring = np.sqrt(ring_squared)
            middle = crypts.axis(np.full(turn.shape, index), np.full(turn.shape, bottom))[0]
            _keep(
                scene,
                placer,
                kind,
                middle + ring * np.cos(turn),
                bottom + ring * np.sin(turn),
                turn,
            )


def _keep(scene: Scene, placer: _Placer, kind: Kind, s: Floats, d: Floats, angle: Floats) -> None:
    """Add stamps that lie inside the epithelium, as the painted fields have it."""
    if len(s) == 0:
        return
    at = _fields_at(scene, s, d)
    good = (at.inside > 10) & (at.apex > 8) & (at.apex < EPITHELIUM - 8) & (at.mucosa > 0.5)
    placer.add(kind, s[good], d[good], angle[good])


def _surface(scene: Scene, placer: _Placer) -> None:
    """Line the surface between the mouths of the crypts."""
    rng = placer.rng
    s = np.arange(1_200.0, WIDTH - 1_000, 18.5)
    for kind, depth, share in ((Kind.EPITHELIUM, 63.0, 0.96), (Kind.GOBLET, 32.0, 0.22)):
        chosen = s[rng.uniform(size=s.shape) < share] + 0.0
        chosen += rng.uniform(-4, 4, chosen.shape)
        d = depth + rng.normal(0, 4, chosen.shape)
        at = _fields_at(scene, chosen, d)
        good = (at.inside > 12) & (at.lumen < -6)
        placer.add(kind, chosen[good], d[good], np.pi / 2 + rng.normal(0, 0.08, int(good.sum())))


def _vessels(scene: Scene, placer: _Placer) -> None:
    """Fill vessels with red cells and give their walls nuclei."""
    rng = placer.rng
    for at_s, at_d, radius, wall, stretch, full in scene.vessels:
        reach = (radius + wall) * max(stretch, 1 / stretch) + 20
        box = (at_s - reach, at_d - reach, at_s + reach, at_d + reach)
        s, d = _jittered(rng, box, 20.0)
        at = _fields_at(scene, s, d)
        settled = at.vessel < -11 - 0.5 * radius * (1 - full) * (
            1 + np.sin((s + d) / (0.7 * radius + 40))
        )
        red = settled & (at.inside > 20) & (rng.uniform(size=s.shape) < 0.9)
        placer.add(Kind.RED_CELL, s[red], d[red], rng.uniform(0, np.pi, int(red.sum())))
        around = np.arctan2((d - at_d) * stretch, (s - at_s) / stretch) + np.pi / 2
        lining = (
            (np.abs(at.vessel - 5) < 4.5) & (rng.uniform(size=s.shape) < 0.34) & (at.inside > 20)
        )
        placer.add(Kind.FIBROBLAST, s[lining], d[lining], around[lining])
        muscle = (at.vessel > 16) & (at.vessel < at.wall - 4) & (rng.uniform(size=s.shape) < 0.12)
        muscle &= at.inside > 20
        placer.add(Kind.FIBROBLAST, s[muscle], d[muscle], around[muscle])
