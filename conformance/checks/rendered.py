"""Pictures for people: the rendered resources and their parameters (PS3.18 §10.4.1.1.3, §8.3.5)."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from conformance.checks.bench import (
    Bench,
    expect,
    expect_status,
    expect_type,
)
from conformance.checks.collection import SIDE
from conformance.checks.registry import Category, Failed, Skipped
from conformance.checks.samples import Sample
from conformance.checks.service import Answer

rendered = Category("Rendered")

TOLERANCE = 12
"""Steps of 255 by which a mean colour may be off: JPEG, and two ways from YCbCr to RGB."""


def opened(answer: Answer) -> Image.Image:
    """Open the picture of a successful answer."""
    expect_status(answer, 200)
    return picture_of(answer.request, answer.body)


def picture_of(request: str, content: bytes) -> Image.Image:
    """Open a picture; `Failed` when it is none."""
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise Failed(f"{request}: no picture that can be opened: {error}") from error
    return picture


def drawn(
    bench: Bench, sample: Sample, number: int = 1, *, query: str = "", accept: str = "image/png"
) -> Image.Image:
    """Draw a frame."""
    return opened(bench.get(sample.frame_path(number) + "/rendered", accept, query=query))


def mean_colour(picture: Image.Image) -> NDArray[np.float64]:
    """Give the mean of red, green and blue."""
    return np.asarray(picture.convert("RGB"), np.float64).reshape(-1, 3).mean(axis=0)


def _expect_colour(picture: Image.Image, pixels: NDArray[np.generic]) -> None:
    got = mean_colour(picture)
    wanted = np.asarray(pixels, np.float64).reshape(-1, 3).mean(axis=0)
    off = np.abs(got - wanted).max()
    expect(off <= TOLERANCE, f"mean colour {got.round()}, not {wanted.round()}")


# --- forms --------------------------------------------------------------------------------------


@rendered.standard("PS3.18 Table 8.7.4-1", "a frame is drawn as image/jpeg by default")
def jpeg_by_default(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path(1) + "/rendered", "*/*")
    opened(answer)
    expect_type(answer, "image/jpeg")


@rendered.standard("PS3.18 §8.7.7", "image/* is answered with image/jpeg, the default")
def any_image(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path(1) + "/rendered", "image/*")
    opened(answer)
    expect_type(answer, "image/jpeg")


def _of_type(media_type: str, form: str) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        answer = bench.get(bench.slide.frame_path(2) + "/rendered", media_type)
        picture = opened(answer)
        expect_type(answer, media_type)
        expect(picture.format == form, f"the body is {picture.format}")
        expect(picture.size == (SIDE, SIDE), f"{picture.size}, not the size of the frame")

    return run


for _type, _form in (("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/gif", "GIF")):
    rendered.add(
        f"as {_form}",
        "PS3.18 Table 8.7.4-1",
        f"a frame is drawn as {_type}",
        _of_type(_type, _form),
    )


@rendered.standard("PS3.18 §8.7.4", "JPEG pictures are baseline, eight bits")
def baseline_jpeg(bench: Bench) -> None:
    for name in ("slide", "words", "jpeg 2000"):
        answer = bench.get(bench[name].frame_path(1) + "/rendered", "image/jpeg")
        expect_status(answer, 200)
        at = answer.body.find(b"\xff\xc0")
        expect(
            at > 0 and answer.body[at + 4] == 8, f"“{name}” is not sequential baseline of 8 bits"
        )


def _at_level(path_of: Callable[[Sample], str]) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        answer = bench.get(path_of(bench.slide) + "/rendered", "image/jpeg")
        if answer.status == 406:  # several pictures may be parts, and parts want asking for
            parts = 'multipart/related; type="image/jpeg"'
            answer = bench.get(path_of(bench.slide) + "/rendered", parts)
        expect_status(answer, 200)
        if answer.content_type != "multipart/related":
            opened(answer)
            return
        expect(bool(answer.parts), "no parts")
        pictures = [part for part in answer.parts if part.content_type.startswith("image/")]
        expect(bool(pictures), "no picture among the parts")
        for part in pictures:
            picture_of(answer.request, part.content)

    return run


for _level, _path_of in (
    ("study", lambda one: one.study_path),
    ("series", lambda one: one.series_path),
    ("instance", lambda one: one.path),
    ("frame", lambda one: one.frame_path(1)),
):
    rendered.add(
        f"a {_level}",
        "PS3.18 Tables 10.3-2 and 10.4.1-3",
        f"a {_level} is drawn",
        _at_level(_path_of),
    )


@rendered.standard("PS3.18 §10.4.1.1.3", "several frames are drawn as parts of one answer")
def list_of_frames(bench: Bench) -> None:
    answer = bench.get(
        bench.slide.frame_path("1,2,3") + "/rendered",
        'multipart/related; type="image/jpeg"',
    )
    expect_status(answer, 200)
    if answer.content_type == "image/gif":
        picture = opened(answer)
        expect(getattr(picture, "n_frames", 1) == 3, "an animation of not 3 frames")
        return
    expect(len(answer.parts) == 3, f"{len(answer.parts)} parts, not 3")
    for part, pixels in zip(answer.parts, np.asarray(bench.slide.pixels), strict=False):
        _expect_colour(picture_of(answer.request, part.content), pixels)


# --- colours ------------------------------------------------------------------------------------


def _colours_of(name: str) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        sample = bench[name]
        for number, pixels in enumerate(np.asarray(sample.pixels), 1):
            picture = drawn(bench, sample, number)
            expect(
                picture.size == pixels.shape[1::-1], f"frame {number} is drawn as {picture.size}"
            )
            _expect_colour(picture, pixels)

    return run


for _name in ("slide", "sparse", "fragments", "one in fragments", "extended table", "rle",
              "jpeg-ls", "jpeg 2000", "planar"):  # fmt: skip
    rendered.add(
        f"colours of {_name}",
        "PS3.18 §10.4.1.1.3",
        f"every frame of “{_name}” is drawn in its size and colours",
        _colours_of(_name),
    )


@rendered.standard(
    "PS3.18 §10.4.1.1.3", "frames of one bit are drawn as they are, black and white apart"
)
def one_bit(bench: Bench) -> None:
    sample = bench["segmentation"]
    for number, mask in enumerate(np.asarray(sample.pixels), 1):
        picture = np.asarray(drawn(bench, sample, number).convert("L"))
        expect(picture.shape == mask.shape, f"drawn as {picture.shape}")
        white, black = picture[mask == 1], picture[mask == 0]
        expect(white.min() > black.max(), f"frame {number} does not tell 1 from 0")


def _text(media_type: str) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        answer = bench.get(bench["report"].path + "/rendered", media_type)
        expect_status(answer, 200)
        expect_type(answer, media_type)
        text = answer.body.decode("utf-8", "replace")
        expect("anybody" in text, "the text of the report is not in it")
        if media_type == "text/html":
            expect("<b>anybody</b>" not in text, "markup in a value was not escaped")

    return run


for _type in ("text/html", "text/plain", "text/xml"):
    rendered.add(
        f"a report as {_type}",
        "PS3.18 Table 8.7.4-1",
        f"a structured report is rendered as {_type}",
        _text(_type),
    )


# --- viewport -----------------------------------------------------------------------------------


def _viewport(text: str, width: int, height: int) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        picture = drawn(bench, bench.slide, query=f"viewport={text}")
        expect(picture.size == (width, height), f"{picture.size}, not {(width, height)}")

    return run


for _name, _text_of, _width, _height in (
    ("smaller", "16,16", 16, 16),
    ("without padding", "16,64", 16, 16),
    ("larger", "64,100", 64, 64),
    ("cropped", "16,16,8,8,16,16", 16, 16),
    ("cropped and scaled", "64,64,0,0,16,8", 64, 32),
    ("with values left out", "16,8,,,16,8", 16, 8),
    ("encoded", "16%2C16", 16, 16),
):
    rendered.add(
        f"viewport {_name}",
        "PS3.18 §8.3.5.1.3",
        f"viewport={_text_of} of a frame of 32 x 32 is {_width} x {_height}",
        _viewport(_text_of, _width, _height),
    )


@rendered.standard("PS3.18 §8.3.5.1.3", "the region of the viewport is what is shown")
def viewport_region(bench: Bench) -> None:
    sample = bench["words"]
    whole = np.asarray(drawn(bench, sample).convert("L"), int)
    part = np.asarray(drawn(bench, sample, query="viewport=6,5,4,3,6,5").convert("L"), int)
    expect(part.shape == (5, 6), f"drawn as {part.shape}")
    expect(np.abs(part - whole[3:8, 4:10]).max() <= 1, "another region")


@rendered.standard("PS3.18 §8.3.5.1.3", "a negative width flips the picture horizontally")
def viewport_flip(bench: Bench) -> None:
    sample = bench["words"]
    whole = np.asarray(drawn(bench, sample).convert("L"), int)
    flipped = np.asarray(drawn(bench, sample, query="viewport=12,10,0,0,-12,10").convert("L"), int)
    expect(flipped.shape == whole.shape, f"drawn as {flipped.shape}")
    expect(np.abs(flipped - whole[:, ::-1]).max() <= 1, "not the mirrored picture")


@rendered.client("Slim 0.46", "an instance is drawn as PNG into a viewport with an encoded comma")
def overview_of_slim(bench: Bench) -> None:
    answer = bench.get(bench["bytes"].path + "/rendered", "image/png", query="viewport=18%2C14")
    expect(opened(answer).size == (18, 14), "not the size that was asked for")


# --- window -------------------------------------------------------------------------------------


def _linear(values: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    inside = ((values - (centre - 0.5)) / (width - 1) + 0.5) * 255
    return np.where(values <= low, 0.0, np.where(values > high, 255.0, inside))


def _exact(values: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    return np.clip((values - centre) / width + 0.5, 0, 1) * 255


def _sigmoid(values: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    return 255 / (1 + np.exp(-4 * (values - centre) / width))


def _window(
    name: str, shape: Callable[[NDArray[np.float64], float, float], NDArray[np.float64]]
) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        sample = bench["words"]
        values = np.asarray(sample.pixels)[1].astype(np.float64)
        picture = drawn(bench, sample, 2, query=f"window=6000,4000,{name}")
        got = np.asarray(picture.convert("L"), np.float64)
        off = np.abs(got - shape(values, 6000, 4000)).max()
        expect(off <= 2, f"off by {off:.0f} of 255")

    return run


for _name, _shape in (("linear", _linear), ("linear-exact", _exact), ("sigmoid", _sigmoid)):
    rendered.add(
        f"window {_name}",
        "PS3.18 §8.3.5.1.4, PS3.3 §C.11.2.1.2",
        f"window=…,{_name} maps values to grey as the function says",
        _window(_name, _shape),
    )


@rendered.standard("PS3.3 §C.11.2.1.2", "without a window the one of the instance is used")
def window_of_the_instance(bench: Bench) -> None:
    sample = bench["words"]
    got = np.asarray(drawn(bench, sample, 2).convert("L"), np.float64)
    wanted = _linear(np.asarray(sample.pixels)[1].astype(np.float64), 6000.5, 12000)
    expect(np.abs(got - wanted).max() <= 2, f"off by {np.abs(got - wanted).max():.0f} of 255")


# --- quality, profile, annotation ---------------------------------------------------------------


@rendered.standard("PS3.18 §8.3.5.1.2", "quality is taken from 1 to 100, and more is not smaller")
def quality(bench: Bench) -> None:
    path = bench.slide.frame_path(1) + "/rendered"
    sizes = []
    for number in (1, 50, 100):
        answer = bench.get(path, "image/jpeg", query=f"quality={number}")
        opened(answer)
        sizes.append(len(answer.body))
    expect(sizes[0] <= sizes[2], f"bytes by quality: {sizes}")


@rendered.standard("PS3.18 §8.3.5.1.5", "iccprofile=yes embeds the profile, no leaves it out")
def icc_profile(bench: Bench) -> None:
    with_it = drawn(bench, bench.slide, query="iccprofile=yes").info.get("icc_profile")
    without = drawn(bench, bench.slide, query="iccprofile=no").info.get("icc_profile")
    if not with_it:
        raise Skipped("iccprofile is not supported, and need not be (Table 10.4.1-5)")
    expect(not without, "a profile, though none was asked for")


@rendered.standard(
    "PS3.18 §8.3.5.1.5", "iccprofile=srgb, adobergb and rommrgb embed those profiles"
)
def icc_colour_spaces(bench: Bench) -> None:
    if not drawn(bench, bench.slide, query="iccprofile=yes").info.get("icc_profile"):
        raise Skipped("iccprofile is not supported, and need not be (Table 10.4.1-5)")
    for name in ("srgb", "adobergb", "rommrgb"):
        picture = drawn(bench, bench.slide, query=f"iccprofile={name}")
        expect(picture.info.get("icc_profile"), f"no profile for {name}")


@rendered.standard("PS3.18 §8.3.5.1.1", "annotation=patient and technique are taken, together too")
def annotation(bench: Bench) -> None:
    for text in ("patient", "technique", "patient,technique"):
        drawn(bench, bench["words"], query=f"annotation={text}")


# --- what is refused ----------------------------------------------------------------------------


def _refused(query: str) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        path = bench["words"].frame_path(1) + "/rendered"
        answer = bench.get(path, "image/jpeg", query=query)
        expect(answer.status == 400, f"{answer}, not 400")

    return run


for _name, _cites, _query in (
    ("viewport of nothing", "§8.3.5.1.3", "viewport=0,0"),
    ("viewport of words", "§8.3.5.1.3", "viewport=wide,high"),
    ("viewport of one number", "§8.3.5.1.3", "viewport=100"),
    ("viewport without a value", "§8.3.5.1.3", "viewport="),
    ("negative viewport", "§8.3.5.1.3", "viewport=-10,10"),
    ("viewport of a billion", "§8.3.5.1.3", "viewport=1000000000,1000000000"),
    ("viewport of too many numbers", "§8.3.5.1.3", "viewport=10,10,0,0,5,5,5"),
    ("quality of zero", "§8.3.5.1.2", "quality=0"),
    ("quality over a hundred", "§8.3.5.1.2", "quality=101"),
    ("quality of a word", "§8.3.5.1.2", "quality=good"),
    ("window without a function", "§8.3.5.1.4", "window=6000,4000"),
    ("window without a width", "§8.3.5.1.4", "window=6000"),
    ("window of words", "§8.3.5.1.4", "window=a,b,linear"),
    ("window of an unknown function", "§8.3.5.1.4", "window=6000,4000,cubic"),
    ("annotation of an unknown kind", "§8.3.5.1.1", "annotation=nonsense"),
    ("annotation without a value", "§8.3.5.1.1", "annotation="),
):
    rendered.add(f"refused {_name}", f"PS3.18 {_cites}", f"400 for {_query}", _refused(_query))


@rendered.standard("PS3.18 §10.4.3.1", "404 for a frame that there is not")
def unknown_frame(bench: Bench) -> None:
    expect_status(bench.get(bench.slide.frame_path(7) + "/rendered", "image/jpeg"), 404)


@rendered.standard("PS3.18 §10.4.3.1", "404 for an instance that there is not")
def unknown_instance(bench: Bench) -> None:
    path = f"{bench.slide.series_path}/instances/{bench.maker.uid('nothing')}"
    expect_status(bench.get(path + "/rendered", "image/jpeg"), 404)
