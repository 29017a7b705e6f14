"""Tileable noise, made once by filtering white noise in the frequency domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.floating[Any]]

SIZE = 1024
"""Edge of every texture in pixels: a power of two, so that wrapping is a bit mask."""


def _filtered(rng: np.random.Generator, along: float, across: float) -> Floats:
    """Give Gaussian noise smoothed over `along` × `across` pixels, with mean 0 and variance 1."""
    fx = np.fft.rfftfreq(SIZE)[None, :]
    fy = np.fft.fftfreq(SIZE)[:, None]
    response = np.exp(-2 * np.pi**2 * ((fx * along) ** 2 + (fy * across) ** 2))
    spectrum = np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * response
    noise = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return (noise / noise.std()).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Textures:
    """Every texture is `(SIZE, SIZE)` float32, mean 0 and variance 1 unless said otherwise."""

    cloud: Floats  # slow variation: stain, thickness, where layers end
    grain: Floats  # cytoplasm
    clump: Floats  # somewhat larger than a nucleus
    fibre: Floats  # fine fibres along x
    bundle: Floats  # wavy bundles along x, 0 in the gaps to about 1
    sensor: Floats  # what the camera adds

    @classmethod
    def make(cls, seed: int) -> Textures:
        """Make all of them; the same seed gives the same textures."""
        rng = np.random.default_rng([seed, 1])
        ridges = np.abs(_filtered(rng, 46, 9) + 0.5 * _filtered(rng, 18, 5))
        return cls(
            cloud=_filtered(rng, 18, 18),
            grain=0.6 * _filtered(rng, 1.4, 1.4) + 0.8 * _filtered(rng, 4, 4),
            clump=_filtered(rng, 11, 11),
            fibre=0.55 * _filtered(rng, 9, 1.1) + 0.85 * _filtered(rng, 34, 2.4),
            bundle=np.clip(ridges * 1.15, 0, 1.5).astype(np.float32),
            sensor=_filtered(rng, 0.5, 0.5),
        )


def nearest(texture: Floats, x: Floats, y: Floats) -> Floats:
    """Sample `texture` at pixel positions of any size, wrapping at its edges."""
    columns = x.astype(np.int32) & (SIZE - 1)
    columns += (y.astype(np.int32) & (SIZE - 1)) * SIZE
    return texture.ravel().take(columns)


def smooth(texture: Floats, x: Floats, y: Floats) -> Floats:
    """Sample `texture` bilinearly, for where it is stretched over many pixels."""
    left, top = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top
    upper = nearest(texture, left, top) * (1 - fx) + nearest(texture, left + 1, top) * fx
    lower = nearest(texture, left, top + 1) * (1 - fx) + nearest(texture, left + 1, top + 1) * fx
    return upper * (1 - fy) + lower * fy
