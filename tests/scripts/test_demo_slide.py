"""The demonstration slide: a real SVS file, the same each time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import openslide
import pytest
import simplejpeg
from PIL import Image, ImageCms

from scripts.demo_slide import pictures, scene, svs
from scripts.demo_slide.paint import BACKGROUND, BLOCK, Painter

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (2048, 1536)


def tile(colour: tuple[int, int, int]) -> svs.Tables:
    return svs.encode(np.full((svs.TILE, svs.TILE, 3), colour, np.uint8))


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A small slide as the demonstration slide is written, each level in a colour of its own."""
    colours = {1: (200, 60, 60), 4: (60, 200, 60), 16: (60, 60, 200), 32: (90, 90, 90)}
    counts = {1: 8 * 6, 4: 2 * 2, 16: 1, 32: 1}
    path = tmp_path / "small.svs"
    svs.write(
        path,
        svs.Slide(
            size=SIZE,
            tiles={scale: [tile(colours[scale]).own] * counts[scale] for scale in svs.LEVELS},
            shared=tile((0, 0, 0)).shared,
            thumbnail=np.full((96, 128, 3), BACKGROUND, np.uint8),
            label=pictures.label(),
            macro=pictures.macro(np.full((96, 128, 3), 128, np.uint8), pictures.label()),
        ),
    )
    return path


def test_openslide_takes_it_for_an_aperio_slide_with_all_its_levels(slide: Path) -> None:
    with openslide.OpenSlide(slide) as opened:
        assert opened.properties[openslide.PROPERTY_NAME_VENDOR] == "aperio"
        assert opened.level_dimensions == ((2048, 1536), (512, 384), (128, 96), (64, 48))
        assert float(opened.properties[openslide.PROPERTY_NAME_MPP_X]) == svs.MICRONS_PER_PIXEL
        assert opened.properties[openslide.PROPERTY_NAME_OBJECTIVE_POWER] == "40"
        middle = [opened.read_region((512, 512), n, (8, 8)).getpixel((4, 4)) for n in range(4)]
    expected = [(200, 60, 60), (60, 200, 60), (60, 60, 200), (90, 90, 90)]
    assert np.abs(np.array(middle)[:, :3] - expected).max() <= 3


def test_it_has_a_thumbnail_a_label_and_a_macro(slide: Path) -> None:
    with openslide.OpenSlide(slide) as opened:
        assert set(opened.associated_images) == {"thumbnail", "label", "macro"}
        label = np.asarray(opened.associated_images["label"].convert("RGB")).astype(int)
    assert np.abs(label - pictures.label()).mean() < 4


def test_its_profile_is_srgb_and_the_same_every_day(slide: Path) -> None:
    with openslide.OpenSlide(slide) as opened:
        assert opened.color_profile is not None
        assert "sRGB" in ImageCms.getProfileDescription(opened.color_profile)
    assert svs.srgb_profile() == svs.srgb_profile()
    assert svs.srgb_profile()[24:28] == bytes((0x07, 0xEA, 0, 1))


def test_a_tile_and_the_shared_tables_are_a_whole_jpeg_again() -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (svs.TILE, svs.TILE, 3), np.uint8)
    cut = svs.encode(pixels)
    assert b"\xff\xdb" not in cut.own[:200]
    whole = cut.shared[:-2] + cut.own[2:]
    with Image.open(io.BytesIO(whole)) as again:
        assert again.size == (svs.TILE, svs.TILE)
    assert simplejpeg.is_jpeg(whole)


def test_it_is_as_large_as_promised_and_painted_the_same_each_time() -> None:
    assert scene.WIDTH >= 20_000
    assert scene.HEIGHT >= 15_000
    one, other = Painter.make(7), Painter.make(7)
    corner = (6 * BLOCK, 10 * BLOCK)
    first, second = one.block(*corner), other.block(*corner)
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)
    assert first.std() > 20, "there is tissue there"
    assert one.block(0, 0) is None, "and only glass in the corner"


def test_what_lies_flat_and_what_is_bent_are_the_same_place() -> None:
    rng = np.random.default_rng(1)
    s, d = rng.uniform(2_000, 22_000, 500), rng.uniform(0, 9_500, 500)
    x, y, _ = scene.bend(s, d)
    again = scene.flatten(x, y)
    assert np.abs(np.array(again) - (s, d)).max() < 0.01
