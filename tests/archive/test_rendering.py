import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom.dataset import Dataset

from archive.animation import can_animate, render_animation
from archive.codestreams import read_jpeg_header, with_icc_profile
from archive.composition import ReadFrames, compose, render_instance
from archive.errors import CannotRender, MalformedQuery
from archive.model.frames import PixelDescription
from archive.model.transfer_syntaxes import EXPLICIT_LITTLE
from archive.palettes import read_palette
from archive.part10 import bulk_data, describe_pixels
from archive.picture_facts import TileGrid, picture_facts, tile_grid, tile_places
from archive.pixels import decode_frame
from archive.render_options import Annotation
from archive.rendering import (
    IccProfile,
    Palette,
    PictureFacts,
    RenderOptions,
    Viewport,
    Window,
    WindowShape,
    render,
    render_frame,
    srgb_profile,
    thumbnail,
    windows_of,
)
from tests.support.dicom_files import (
    MadeFile,
    encapsulated,
    jpeg_slide,
    monochrome,
    native_slide,
    segmentation,
    sparse_slide,
    tissue,
)
from tests.support.reading import header_of, metadata_of, stored_frames
from tests.support.shared import shared_file

PLAIN = RenderOptions()


def facts_of(content: bytes) -> PictureFacts:
    header = header_of(content)
    pixels = describe_pixels(header)
    assert pixels is not None
    return picture_facts(
        metadata_of(content),
        pixels,
        header.transfer_syntax_uid,
        lambda path: bulk_data(header, path),
    )


def reader(content: bytes) -> ReadFrames:
    frames = stored_frames(content)

    def read(numbers: Sequence[int]) -> Iterable[bytes]:
        return (frames[number - 1] for number in numbers)

    return read


def shown(made: MadeFile, options: RenderOptions = PLAIN, number: int = 1) -> Image.Image:
    frame = stored_frames(made.content)[number - 1]
    return opened(render_frame(frame, facts_of(made.content), options, number=number))


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def array_of(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


def near(image: Image.Image, expected: NDArray[np.generic], tolerance: int = 12) -> bool:
    found = array_of(image)
    return found.shape == expected.shape and bool(
        (np.abs(found - expected.astype(np.int64)) <= tolerance).all()
    )


def swapped_profile() -> bytes:
    """Make an RGB profile whose red is green and whose green is red."""
    profile = bytearray(srgb_profile())
    count = int.from_bytes(profile[128:132], "big")
    entries = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = entries[b"rXYZ"] + 4, entries[b"gXYZ"] + 4
    profile[red : red + 8], profile[green : green + 8] = (
        profile[green : green + 8],
        profile[red : red + 8],
    )
    return bytes(profile)


def with_profile(profile: bytes) -> Dataset:
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.ICCProfile = profile + b"\0" * (len(profile) % 2)
    return path


# --- passing through ----------------------------------------------------------------------------


def test_a_stored_jpeg_is_sent_as_it_is() -> None:
    made = jpeg_slide()
    assert render_frame(made.frames[0], facts_of(made.content), PLAIN) == made.frames[0]


def test_the_profile_of_the_instance_is_put_in_and_nothing_else_changed() -> None:
    profile = swapped_profile()
    made = jpeg_slide(OpticalPathSequence=[with_profile(profile)])
    sent = render_frame(made.frames[0], facts_of(made.content), PLAIN)
    assert opened(sent).info["icc_profile"][: len(profile)] == profile
    assert with_icc_profile(sent, None) == made.frames[0]


def test_rgb_that_does_not_say_so_is_marked_for_browsers() -> None:
    made = jpeg_slide(rgb_without_marker=True)
    assert made.pixels is not None
    sent = render_frame(made.frames[0], facts_of(made.content), PLAIN)
    assert read_jpeg_header(sent).adobe_transform == 0
    assert near(opened(sent), made.pixels[0])  # Pillow knows no DICOM: it goes by the marker


@pytest.mark.parametrize(
    ("asked", "has_profile", "sent"),
    [
        (None, True, "own"),
        (None, False, "none"),
        (IccProfile.YES, True, "own"),
        (IccProfile.YES, False, "srgb"),
        (IccProfile.NO, True, "none"),
        (IccProfile.SRGB, True, "srgb"),
        (IccProfile.SRGB, False, "srgb"),
    ],
)
@pytest.mark.parametrize("quality", [None, 80])
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_which_profile_a_picture_has(
    asked: IccProfile | None, has_profile: bool, sent: str, quality: int | None, media_type: str
) -> None:
    profile = swapped_profile()
    given: dict[str, Any] = {}
    if has_profile:
        given["OpticalPathSequence"] = [with_profile(profile)]
    made = jpeg_slide(across=1, down=1, **given)
    image = shown(made, RenderOptions(media_type, quality=quality, icc_profile=asked))
    found = image.info.get("icc_profile")
    expected = {"own": profile, "srgb": srgb_profile(), "none": None}[sent]
    assert (found and found[: len(expected or b"")]) == expected


def test_colours_are_converted_to_srgb() -> None:
    made = jpeg_slide(OpticalPathSequence=[with_profile(swapped_profile())])
    assert made.pixels is not None
    image = shown(made, RenderOptions("image/png", icc_profile=IccProfile.SRGB))
    source = Image.fromarray(made.pixels[0])
    swapped = ImageCms.ImageCmsProfile(io.BytesIO(swapped_profile()))
    expected = ImageCms.profileToProfile(source, swapped, ImageCms.createProfile("sRGB"))
    assert expected is not None
    assert near(image, np.asarray(expected), 16)
    assert not near(image, made.pixels[0], 40)


def test_a_profile_that_is_none_does_not_stop_the_picture_but_its_conversion() -> None:
    made = jpeg_slide(OpticalPathSequence=[with_profile(b"no profile at all, no.")])
    assert shown(made).size == (32, 32)
    with pytest.raises(CannotRender, match="ICC profile"):
        shown(made, RenderOptions(icc_profile=IccProfile.SRGB))


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif"])
def test_pictures_come_in_every_type(media_type: str) -> None:
    made = native_slide()
    assert made.pixels is not None
    image = shown(made, RenderOptions(media_type), 3)
    assert Image.MIME[str(image.format)] == media_type
    assert near(image.convert("RGB"), made.pixels[2], 0 if media_type == "image/png" else 24)


def test_lower_quality_is_smaller() -> None:
    made = jpeg_slide(side=128, across=1, down=1)
    facts, frame = facts_of(made.content), made.frames[0]
    sizes = [len(render_frame(frame, facts, RenderOptions(quality=q))) for q in (1, 50, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 4


def test_compressed_forms_that_browsers_do_not_know_are_drawn() -> None:
    painted = tissue(1, 40, 56)
    stream = bytes(imagecodecs.jpeg2k_encode(painted[0], codecformat="J2K"))
    made = encapsulated([stream], "1.2.840.10008.1.2.4.90", painted)
    assert near(shown(made, RenderOptions("image/png")), painted[0], 0)


def test_a_frame_that_cannot_be_decoded_cannot_be_drawn() -> None:
    made = jpeg_slide()
    facts = facts_of(made.content)
    for options in (PLAIN, RenderOptions("image/png")):
        with pytest.raises(CannotRender):
            render_frame(b"\xff\xd8\xff\xd9", facts, options)


# --- viewports ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64,64", (64, 64)),
        ("32,64", (32, 32)),
        ("273,91", (91, 91)),
        ("256,256", (256, 256)),
        ("16,16,0,0,64,32", (16, 8)),
        ("16,16,,,64,32", (16, 8)),
        ("16,16,0,0,1000,1000", (16, 16)),
        ("1,1", (1, 1)),
    ],
)
@pytest.mark.parametrize("maker", [jpeg_slide, native_slide])
def test_viewports_scale_without_padding(maker: Any, text: str, size: tuple[int, int]) -> None:  # noqa: ANN401
    made = maker(side=128, across=1, down=1)
    assert shown(made, RenderOptions(viewport=Viewport.parse(text))).size == size


@pytest.mark.parametrize("maker", [jpeg_slide, native_slide])
def test_a_region_is_that_part_of_the_image(maker: Any) -> None:  # noqa: ANN401
    made = maker(side=128, across=1, down=1)
    region = made.pixels[0][32:96, 16:80]
    options = RenderOptions("image/png", viewport=Viewport.parse("64,64,16,32,64,64"))
    assert near(shown(made, options), region)
    flipped = RenderOptions("image/png", viewport=Viewport.parse("64,64,16,32,-64,-64"))
    assert near(shown(made, flipped), region[::-1, ::-1])
    small = RenderOptions("image/png", viewport=Viewport.parse("8,8,16,32,64,64"))
    blocks = region.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    assert near(shown(made, small), blocks, 20)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1,2,3",
        "1,2,3,4,5",
        "0,5",
        "5,0",
        "-1,5",
        "a,b",
        "1e9,1",
        "99999999999,1",
        "16385,1",
        "9,9,0,0,0,5",
        "9,9,nan,0,5,5",
        "9,9,0,0,inf,5",
        "9,9,0,0,1,1,1",
    ],
)
def test_a_viewport_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(MalformedQuery) as caught:
        Viewport.parse(text)
    assert caught.value.parameter == "viewport"


@pytest.mark.parametrize("text", ["9,9,500,0,5,5", "9,9,0,500,5,5", "9,9,-50,0,5,5"])
def test_a_region_outside_the_image_is_refused(text: str) -> None:
    with pytest.raises(MalformedQuery, match="outside"):
        shown(jpeg_slide(), RenderOptions(viewport=Viewport.parse(text)))


def test_a_huge_viewport_takes_no_memory() -> None:
    with pytest.raises(MalformedQuery, match="more than"):
        shown(jpeg_slide(), RenderOptions(viewport=Viewport.parse("16384,16384")))


def test_a_thumbnail_has_no_region() -> None:
    assert Viewport.parse("9,9", region_allowed=False) == Viewport(9, 9)
    with pytest.raises(MalformedQuery):
        Viewport.parse("9,9,0,0,1,1", region_allowed=False)


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_a_quality_beyond_its_range_is_refused(quality: int) -> None:
    with pytest.raises(MalformedQuery):
        RenderOptions(quality=quality)


def test_an_unknown_type_of_picture_is_refused() -> None:
    with pytest.raises(CannotRender) as caught:
        RenderOptions("image/tiff")
    assert "image/png" in caught.value.available


# --- grey values --------------------------------------------------------------------------------

RAMP = np.arange(4096, dtype=np.uint16).reshape(1, 64, 64)


def grey(values: NDArray[np.generic], options: RenderOptions, **given: Any) -> list[int]:  # noqa: ANN401
    made = monochrome(values, **given)
    image = shown(made, replace(options, media_type="image/png"))
    return array_of(image).reshape(-1).tolist()


def test_without_a_window_values_go_from_lowest_to_highest() -> None:
    levels = grey(RAMP + np.uint16(1000), PLAIN)
    assert (levels[0], levels[-1]) == (0, 255)
    assert levels == sorted(levels)


def test_eight_bit_values_without_a_window_are_shown_as_they_are() -> None:
    values = np.full((1, 4, 4), 77, np.uint8)
    assert set(grey(values, PLAIN)) == {77}


@pytest.mark.parametrize(
    ("window", "black", "middle", "white"),
    [
        # PS3.3 §C.11.2.1.2.1: below c - 0.5 - (w - 1) / 2 black, above c - 0.5 + (w - 1) / 2 white
        ("2048,1001,linear", 1547, 2047, 2548),
        ("2048,1000,linear-exact", 1548, 2048, 2548),
        ("2048,1,linear", 2047, 2047, 2048),
    ],
)
def test_windows_follow_the_standard(window: str, black: int, middle: int, white: int) -> None:
    levels = grey(RAMP, RenderOptions(window=Window.parse(window)))
    assert levels[black] == 0
    assert levels[white] == 255
    assert levels[black + 4] > 0
    assert levels[white - 4] < 255 or white - black == 1
    assert levels[middle] in (0, 127, 128)


def test_a_sigmoid_window_never_ends() -> None:
    levels = grey(RAMP, RenderOptions(window=Window.parse("2048,2000,sigmoid")))
    assert levels[2048] in (127, 128)
    assert 0 < levels[548] < 20
    assert levels == sorted(levels)


def test_the_window_of_the_instance_is_used_and_that_of_the_request_goes_before() -> None:
    given = {"WindowCenter": 100, "WindowWidth": 11}
    assert grey(RAMP, PLAIN, **given)[110:112] == [255, 255]
    asked = RenderOptions(window=Window(2048, 4095))
    assert grey(RAMP, asked, **given)[110] < 10


def test_values_are_rescaled_before_the_window() -> None:
    given = {"RescaleSlope": 2, "RescaleIntercept": -1000, "RescaleType": "US"}
    levels = grey(RAMP, RenderOptions(window=Window(0, 11)), **given)
    assert (levels[490], levels[510]) == (0, 255)


def test_monochrome1_and_inverse_presentation_are_turned_round() -> None:
    upright = grey(RAMP, PLAIN)
    turned = [255 - level for level in upright]
    assert grey(RAMP, PLAIN, PhotometricInterpretation="MONOCHROME1") == turned
    assert grey(RAMP, PLAIN, PresentationLUTShape="INVERSE") == turned


def test_signed_values_are_shown() -> None:
    levels = grey(RAMP.astype(np.int16) - np.int16(2048), PLAIN)
    assert (levels[0], levels[-1]) == (0, 255)


def test_one_bit_frames_are_black_and_white() -> None:
    masks = np.random.default_rng(5).integers(0, 2, (5, 3, 3), np.uint8)
    masks[2] = 1
    for number in range(1, 6):
        image = shown(segmentation(masks), RenderOptions("image/png"), number)
        assert np.array_equal(array_of(image), masks[number - 1] * 255)


@pytest.mark.parametrize(
    "text", ["", "1", "1,2,3,4", "a,b", "1,0", "1,-5", "nan,5", "5,inf", "1,2,cubic", "1,0.5"]
)
def test_a_window_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(MalformedQuery) as caught:
        Window.parse(text)
    assert caught.value.parameter == "window"


def test_the_first_window_that_can_be_used_is_used() -> None:
    assert windows_of([], [], None) is None
    assert windows_of([1.0], [0.0], None) is None
    assert windows_of([1.0, 2.0], [0.0, 7.0], "SIGMOID") == Window(2.0, 7.0, WindowShape.SIGMOID)


def test_a_float_map_is_drawn_in_all_its_greys() -> None:
    content = shared_file("dicom/annotations/parametric_map_float.dcm").read_bytes()
    facts = facts_of(content)
    assert facts.window == Window(0.5, 1.0, WindowShape.LINEAR_EXACT)
    values = np.linspace(0, 1, 128 * 128, dtype=np.float32)
    values[5] = np.nan
    drawn = opened(render_frame(values.tobytes(), facts, RenderOptions("image/png")))
    levels = array_of(drawn).reshape(-1)
    assert (levels[0], levels[5], levels[128 * 64], levels[-1]) == (0, 0, 128, 255)


def test_palettes_are_looked_up() -> None:
    table = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint16)
    values = np.array([[[99, 100], [101, 200]]], np.uint8)
    made = monochrome(values, PhotometricInterpretation="PALETTE COLOR")
    dataset = made.dataset
    for number, name in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [3, 100, 16])
        data = (table[:, number] << 8).astype("<u2").tobytes()
        setattr(dataset, f"{name}PaletteColorLookupTableData", data)
    remade = monochrome(
        values, PhotometricInterpretation="PALETTE COLOR",
        **{
            f"{name}PaletteColorLookupTable{part}": getattr(
                dataset, f"{name}PaletteColorLookupTable{part}"
            )
            for name in ("Red", "Green", "Blue")
            for part in ("Descriptor", "Data")
        },
    )  # fmt: skip
    image = shown(remade, RenderOptions("image/png"))
    assert array_of(image).reshape(-1, 3).tolist() == table[[0, 0, 1, 2]].tolist()
    assert isinstance(facts_of(remade.content).palette, Palette)


# --- whole instances ----------------------------------------------------------------------------


@pytest.mark.parametrize("maker", [jpeg_slide, native_slide])
def test_tiles_are_put_together_and_cut_at_the_edge(maker: Any) -> None:  # noqa: ANN401
    made = maker(across=3, down=2, side=16, TotalPixelMatrixColumns=41, TotalPixelMatrixRows=30)
    metadata, facts = metadata_of(made.content), facts_of(made.content)
    grid = tile_grid(metadata)
    assert grid == TileGrid(30, 41, full=True)
    whole = made.pixels.reshape(2, 3, 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(32, 48, 3)
    options = RenderOptions("image/png")
    image = opened(render_instance(reader(made.content), facts, options, grid))
    assert near(image, whole[:30, :41])


@pytest.mark.parametrize("maker", [jpeg_slide, native_slide])
def test_the_padding_of_an_only_tile_is_not_drawn(maker: Any) -> None:  # noqa: ANN401
    made = maker(across=1, down=1, side=32, TotalPixelMatrixColumns=20, TotalPixelMatrixRows=12)
    grid = tile_grid(metadata_of(made.content))
    options = RenderOptions("image/png")
    image = opened(render_instance(reader(made.content), facts_of(made.content), options, grid))
    assert image.size == (20, 12)
    assert near(image, made.pixels[0, :12, :20])


def test_sparse_tiles_go_where_their_items_say() -> None:
    made = sparse_slide(6)
    metadata, facts = metadata_of(made.content), facts_of(made.content)
    places = tile_places(metadata["52009230"]["Value"])
    assert places is not None
    assert places.tolist() == [[0, 8 * number] for number in range(6)]
    grid = tile_grid(metadata)
    assert grid is not None
    turned = np.stack([places[:, 1], places[:, 0]], axis=1)
    whole = compose(reader(made.content), facts, TileGrid(48, 8, full=False), turned)
    assert whole.shape == (48, 8)
    assert whole[8:16].tobytes() == made.frames[1]


def test_only_the_first_plane_of_a_stack_is_put_together() -> None:
    made = native_slide(across=2, down=4, TotalPixelMatrixRows=32)  # two planes of 2 x 2
    grid = tile_grid(metadata_of(made.content))
    assert grid is not None
    whole = compose(reader(made.content), facts_of(made.content), grid)
    assert made.pixels is not None
    assert whole.shape == (32, 32, 3)
    assert np.array_equal(whole[16:, 16:], made.pixels[3])


def test_an_image_too_large_to_draw_names_what_can_be_had() -> None:
    made = jpeg_slide(TotalPixelMatrixColumns=20_000, TotalPixelMatrixRows=15_000)
    facts = facts_of(made.content)

    def read(_: Sequence[int]) -> Iterable[bytes]:
        raise AssertionError("no frame may be read")

    with pytest.raises(CannotRender, match="/thumbnail"):
        render_instance(read, facts, PLAIN, tile_grid(metadata_of(made.content)))


def test_of_frames_that_are_no_tiles_one_stands_for_all() -> None:
    values = np.stack([np.full((8, 8), 40 * number, np.uint8) for number in range(5)])
    cases: list[tuple[dict[str, Any], int]] = [({}, 3), ({"RepresentativeFrameNumber": 2}, 2)]
    for given, shown_frame in cases:
        made = monochrome(values, **given)
        assert tile_grid(metadata_of(made.content)) is None
        options = RenderOptions("image/png")
        image = opened(render_instance(reader(made.content), facts_of(made.content), options))
        assert array_of(image)[0, 0] == 40 * (shown_frame - 1)


def checkered(across: int, down: int, side: int = 16) -> MadeFile:
    return native_slide(across=across, down=down, side=side)


@pytest.mark.parametrize(
    "viewport",
    [
        Viewport(20, 10, 5, 3, 20, 10),
        Viewport(16, 16, 16, 16, 16, 16),
        Viewport(30, 30, 18, 2, 30, 30),
        Viewport(9, 7, 39, 25, 9, 7),
        Viewport(20, 10, 5, 3, -20, -10),
    ],
)
def test_a_region_reads_no_tile_beside_it(viewport: Viewport) -> None:
    made = checkered(3, 2)
    grid = tile_grid(metadata_of(made.content))
    read: list[int] = []
    frames = stored_frames(made.content)

    def noted(numbers: Sequence[int]) -> Iterable[bytes]:
        read.extend(numbers)
        return (frames[number - 1] for number in numbers)

    options = RenderOptions("image/png", viewport=viewport)
    image = opened(render_instance(noted, facts_of(made.content), options, grid))
    assert made.pixels is not None
    whole = made.pixels.reshape(2, 3, 16, 16, 3).transpose(0, 2, 1, 3, 4).reshape(32, 48, 3)
    left, top, right, bottom, across, down = viewport.region(32, 48)
    expected = whole[top:bottom, left:right][:: -1 if down else 1, :: -1 if across else 1]
    assert np.array_equal(array_of(image), expected)
    tiles = {
        3 * row + column + 1
        for row in range(top // 16, (bottom - 1) // 16 + 1)
        for column in range(left // 16, (right - 1) // 16 + 1)
    }
    assert set(read) == tiles


@pytest.mark.parametrize("region", [(0, 0, 96, 64), (13, 7, 70, 50), (33, 1, 62, 62)])
def test_a_region_of_jpeg_is_decoded_smaller_and_shows_the_same(region: tuple[int, ...]) -> None:
    made = jpeg_slide(across=3, down=2, side=32)
    grid = tile_grid(metadata_of(made.content))
    facts = facts_of(made.content)
    assert made.pixels is not None
    whole = made.pixels.reshape(2, 3, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(64, 96, 3)
    x, y, width, height = region
    cut_out = Image.fromarray(whole[y : y + height, x : x + width])
    size = (width // 4, height // 4)
    viewport = Viewport(*size, x, y, width, height)
    options = RenderOptions("image/png", viewport=viewport)
    image = opened(render_instance(reader(made.content), facts, options, grid))
    expected = np.asarray(cut_out.resize(image.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(array_of(image) - expected).mean() < 8


def test_a_region_of_an_image_that_is_too_large_can_be_drawn() -> None:
    made = jpeg_slide(
        across=3, down=2, side=32, TotalPixelMatrixColumns=20_000, TotalPixelMatrixRows=15_000
    )
    viewport = Viewport(16, 16, 0, 0, 32, 32)
    options = RenderOptions("image/png", viewport=viewport)
    grid = tile_grid(metadata_of(made.content))
    image = opened(render_instance(reader(made.content), facts_of(made.content), options, grid))
    assert image.size == (16, 16)
    outside = RenderOptions(viewport=Viewport(16, 16, 30_000, 0, 32, 32))
    with pytest.raises(MalformedQuery):
        render_instance(reader(made.content), facts_of(made.content), outside, grid)


def test_other_optical_paths_are_no_part_of_the_picture() -> None:
    def item(path: str, column: int) -> dict[str, Any]:
        place = {"0048021E": {"Value": [column]}, "0048021F": {"Value": [1]}}
        return {
            "00480207": {"Value": [{"00480106": {"Value": [path]}}]},
            "0048021A": {"Value": [place]},
        }

    places = tile_places([item("A", 1), item("B", 1), item("B", 9), item("A", 9)])
    assert places is not None
    assert places.tolist() == [[0, 0], [-1, -1], [-1, -1], [0, 8]]
    made = monochrome(np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8))
    facts = facts_of(made.content)
    whole = compose(reader(made.content), facts, TileGrid(8, 16, full=False), places)
    assert whole[:, 8:].tobytes() == made.frames[3]


def test_a_part_of_a_concatenation_draws_its_own_tiles() -> None:
    made = native_slide(across=2, down=1)
    facts = facts_of(made.content)
    # Tiles 3 and 4 of the first plane of a 2 x 2 image; then the same of its second plane.
    for first in (2, 6):
        grid = TileGrid(32, 32, full=True, first=first)
        whole = compose(reader(made.content), facts, grid)
        assert made.pixels is not None
        assert (whole[:16] == 255).all()
        assert np.array_equal(whole[16:, :16], made.pixels[0])
        assert np.array_equal(whole[16:, 16:], made.pixels[1])


# --- frames that move ---------------------------------------------------------------------------


def moving(dtype: type[np.generic] = np.uint8, **given: Any) -> MadeFile:  # noqa: ANN401
    values = np.stack([np.full((8, 12), 30 * number, dtype) for number in range(6)])
    values[:, :4] = 200
    return monochrome(values, **given)


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        ({}, 100),
        ({"FrameTime": "40"}, 40),
        ({"RecommendedDisplayFrameRate": "5"}, 200),
        ({"CineRate": "1000"}, 20),
    ],
)
def test_frames_that_are_no_tiles_move_in_a_gif(given: dict[str, Any], milliseconds: int) -> None:
    made = moving(**given)
    facts = facts_of(made.content)
    image = Image.open(io.BytesIO(render_animation(reader(made.content), facts, PLAIN)))
    assert getattr(image, "n_frames", 1) == 6
    assert image.info["loop"] == 0
    for number in range(6):
        image.seek(number)
        assert image.info["duration"] == milliseconds
        assert abs(int(np.asarray(image.convert("L"))[7, 0]) - 30 * number) <= 2


def test_deep_frames_do_not_flicker() -> None:
    made = moving(np.uint16)
    facts = facts_of(made.content)
    image = Image.open(io.BytesIO(render_animation(reader(made.content), facts, PLAIN)))
    tops = []
    for number in range(6):
        image.seek(number)
        tops.append(int(np.asarray(image.convert("L"))[0, 0]))
    assert len(set(tops)) == 1


def test_a_moving_picture_has_bounds() -> None:
    facts = facts_of(moving().content)
    assert can_animate(facts, PLAIN, 6 * 96)
    assert not can_animate(facts, PLAIN, 6 * 96 - 1)
    assert not can_animate(facts, RenderOptions(viewport=Viewport(1000, 1000)), 5_000_000)
    many = replace(facts, pixels=replace(facts.pixels, number_of_frames=100_000))
    assert not can_animate(many, RenderOptions(viewport=Viewport(1, 1)), 5_000_000)


# --- palettes, colour spaces, words -------------------------------------------------------------


def segments(*words: int) -> bytes:
    return np.array(words, "<u2").tobytes()


LINE = segments(0, 1, 0, 1, 255, 65_280)  # discrete: 0; then in 255 steps to 65280


def palette_of(*tables: bytes, entries: int = 256) -> Palette | None:
    expanded = [partial(bytes, table) for table in tables]
    return read_palette([[entries, 0, 16]] * 3, [None] * 3, expanded)


def test_segmented_palettes_are_expanded() -> None:
    palette = palette_of(LINE, segments(0, 2, 256, 512, 2, 1, 0, 0), LINE)
    assert palette is None  # the second table gives four entries of 256
    steps = segments(0, 2, 256, 512, *([2, 1, 0, 0] * 127))
    palette = palette_of(LINE, steps, LINE)
    assert palette is not None
    assert palette.table[:, 0].tolist() == list(range(256))
    assert palette.table[:, 1].tolist() == [1, 2] * 128


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"x",
        segments(0, 300, 1),
        segments(1, 255, 7),
        segments(3, 1, 1, 1),
        segments(2, 1, 0, 0),
        segments(0, 1, 5, 2, 9, 6, 0),
        segments(0),
    ],
)
def test_broken_segmented_palettes_are_none(table: bytes) -> None:
    assert palette_of(LINE, table, LINE) is None


def test_a_few_segments_cannot_stand_for_more_than_the_table_has() -> None:
    bomb = segments(0, 1, 7, *([1, 65_535, 7] * 8), *([2, 9, 0, 0] * 4000))
    palette = palette_of(bomb, bomb, bomb, entries=65_535)
    assert palette is not None
    assert palette.table.shape == (65_535, 3)


def test_an_instance_with_a_segmented_palette_is_drawn() -> None:
    values = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    given: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        given[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        given[f"Segmented{name}PaletteColorLookupTableData"] = LINE
    made = monochrome(values, **given)
    image = shown(made, RenderOptions("image/png"))
    assert np.array_equal(array_of(image), np.repeat(values[0][..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("name", "red", "grey"),
    [
        (IccProfile.ADOBE_RGB, (219, 0, 0), 127),
        (IccProfile.ROMM_RGB, (179, 70, 26), 109),
    ],
)
def test_a_colour_space_can_be_asked_for(name: IccProfile, red: tuple[int, ...], grey: int) -> None:
    array = np.zeros((1, 8, 8, 3), np.uint8)
    array[0, :, :4], array[0, :, 4:] = (255, 0, 0), 128
    pixels = PixelDescription(8, 8, 1, 3, "RGB", 8, 8, 0, 0, "PixelData")
    facts = PictureFacts(pixels, EXPLICIT_LITTLE)
    image = opened(render(array[0], facts, RenderOptions("image/png", icc_profile=name)))
    found = array_of(image)
    # Published values of sRGB red and mid grey in these spaces.
    assert np.abs(found[0, 0] - red).max() <= 1
    assert np.abs(found[0, 7] - grey).max() <= 1
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert profile.profile.xcolor_space == "RGB "
    back = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    assert back is not None
    assert np.abs(array_of(back) - array[0]).max() <= 2


def test_words_are_burned_in_for_those_who_ask() -> None:
    made = native_slide(across=1, down=1, side=128)
    facts = facts_of(made.content)
    assert facts.captions.patient == ("Specimen, Example", "ID P-1", "Born 19700102 O")
    plain = array_of(shown(made, RenderOptions("image/png")))

    def rows_changed(*asked: Annotation) -> NDArray[np.bool_]:
        options = RenderOptions("image/png", annotations=asked)
        changed: NDArray[np.bool_] = (array_of(shown(made, options)) != plain).any(axis=(1, 2))
        return changed

    technique = rows_changed(Annotation.TECHNIQUE)
    patient = rows_changed(Annotation.PATIENT)
    assert technique[:10].all()
    assert not technique[64:].any()
    assert patient[-10:].all()
    assert not patient[:64].any()
    assert (
        rows_changed(Annotation.PATIENT, Annotation.TECHNIQUE).tolist()
        == (technique | patient).tolist()
    )


def test_words_go_on_grey_pictures_and_on_jpeg_that_would_pass_through() -> None:
    grey = monochrome(np.full((1, 96, 96), 128, np.uint8))
    options = RenderOptions("image/png", annotations=(Annotation.PATIENT,))
    words = array_of(shown(grey, options))
    assert words.min() == 0
    assert words.max() > 220
    slide = jpeg_slide(across=1, down=1, side=96)
    passed = render_frame(slide.frames[0], facts_of(slide.content), PLAIN)
    options = RenderOptions(annotations=(Annotation.PATIENT,))
    assert render_frame(slide.frames[0], facts_of(slide.content), options) != passed


@pytest.mark.parametrize(
    ("given", "identifying"),
    [
        ({}, False),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, True),
        ({"BurnedInAnnotation": "YES"}, True),
        ({"SpecimenLabelInImage": "YES"}, True),
        ({"BurnedInAnnotation": "NO", "SpecimenLabelInImage": "NO"}, False),
    ],
)
def test_pictures_that_may_tell_who_the_patient_is(
    given: dict[str, Any], identifying: bool
) -> None:
    assert facts_of(native_slide(**given).content).identifying == identifying


def test_sparse_tiles_without_places_are_not_guessed() -> None:
    made = native_slide(across=3, down=1, TotalPixelMatrixColumns=400)
    with pytest.raises(CannotRender, match="places"):
        compose(reader(made.content), facts_of(made.content), TileGrid(16, 400, full=False))


def test_thumbnails_fit_and_are_never_larger_than_the_image() -> None:
    made = jpeg_slide(across=1, down=1, side=64)
    facts = facts_of(made.content)
    array = decode_frame(made.frames[0], facts.pixels, facts.transfer_syntax_uid)
    assert opened(thumbnail(array, facts, size=(32, 48))).size == (32, 32)
    assert opened(thumbnail(array, facts)).size == (64, 64)


def test_a_real_slide_is_drawn_as_openslide_reads_it() -> None:
    import openslide

    folder = shared_file("slides/dicom-wsm/CMU-1-Small-Region")
    path = max(folder.glob("*.dcm"), key=lambda file: file.stat().st_size)
    content = path.read_bytes()
    grid = tile_grid(metadata_of(content))
    assert grid is not None
    image = opened(
        render_instance(reader(content), facts_of(content), RenderOptions("image/png"), grid)
    )
    with openslide.OpenSlide(str(path)) as slide:
        expected = slide.read_region((500, 900), 0, (700, 600)).convert("RGB")
    cut = image.crop((500, 900, 1200, 1500))
    assert near(cut, np.asarray(expected), 2)


def test_inline_profiles_are_read() -> None:
    pixels = PixelDescription(1, 1, 1, 3, "RGB", 8, 8, 0, 0, "PixelData")
    attribute = {"vr": "OB", "InlineBinary": base64.b64encode(b"profile").decode()}
    metadata = {"00282000": attribute}

    def never(_: str) -> bytes:
        raise AssertionError

    assert picture_facts(metadata, pixels, EXPLICIT_LITTLE, never).icc_profile == b"profile"


def test_colour_of_16_bits_is_brought_to_8() -> None:
    pixels = PixelDescription(1, 2, 1, 3, "RGB", 16, 12, 0, 0, "PixelData")
    array = np.array([[[4095, 0, 2048], [16, 15, 8192]]], np.uint16)
    image = opened(render(array, PictureFacts(pixels, EXPLICIT_LITTLE), RenderOptions("image/png")))
    assert array_of(image).tolist() == [[[255, 0, 128], [1, 0, 255]]]
