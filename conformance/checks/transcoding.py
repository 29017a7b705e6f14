"""Another transfer syntax than the stored one: always the default, others by choice (§8.7.3)."""

from collections.abc import Callable

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from conformance.checks import samples as made
from conformance.checks.bench import OCTETS, Bench, expect, expect_status, only_part, same_frame
from conformance.checks.frames import OCTET_PARTS
from conformance.checks.negotiation import DICOM_PARTS
from conformance.checks.registry import Category, Failed, Skipped
from conformance.checks.rendered import mean_colour, picture_of
from conformance.checks.retrieve import read, syntax_of, whole

transcoding = Category("Transcoding")

LOSSLESS = ("rle", "jpeg-ls", "jpeg 2000")


def _decoded_frames(name: str) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        sample = bench[name]
        for number, pixels in enumerate(np.asarray(sample.pixels), 1):
            part = only_part(bench.get(sample.frame_path(number), OCTET_PARTS))
            expect(part.content_type == OCTETS, f"a part of type {part.content_type}")
            expect(
                part.transfer_syntax in {None, made.EXPLICIT_LITTLE},
                f"a part in {part.transfer_syntax}",
            )
            expect(same_frame(part.content, pixels.tobytes()), f"frame {number} has other pixels")

    return run


def _decoded_instance(name: str) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        sample = bench[name]
        content = whole(bench, sample, DICOM_PARTS)
        expect(syntax_of(content) == made.EXPLICIT_LITTLE, f"it came in {syntax_of(content)}")
        dataset = read(content)
        expect((dataset.pixel_array == sample.pixels).all(), "other pixels")
        expect(dataset.PhotometricInterpretation == "RGB", "the pixels are not called RGB")

    return run


for _name in LOSSLESS:
    transcoding.add(
        f"frames of {_name}",
        "PS3.18 §8.7.3.3, Table 8.7.3-4",
        f"octets without a transfer syntax are the decoded {_name} frames",
        _decoded_frames(_name),
    )
    transcoding.add(
        f"instance of {_name}",
        "PS3.18 §8.7.3.4, Table 8.7.3-2",
        f"a {_name} instance goes in Explicit VR Little Endian when no syntax is named",
        _decoded_instance(_name),
    )


@transcoding.standard("PS3.18 §8.7.3.5.2", "Explicit VR Little Endian by name is decoded, too")
def explicit_by_name(bench: Bench) -> None:
    for name in LOSSLESS:
        accept = f"{OCTET_PARTS}; transfer-syntax={made.EXPLICIT_LITTLE}"
        part = only_part(bench.get(bench[name].frame_path(1), accept))
        pixels = np.asarray(bench[name].pixels)[0]
        expect(same_frame(part.content, pixels.tobytes()), f"“{name}” has other pixels")


type _Decode = Callable[[bytes], NDArray[np.generic]]

# PS3.18 Table 8.7.3-5, all of them optional: syntax, media type, decoder.
TARGETS: dict[str, tuple[str, str, _Decode]] = {
    "JPEG Lossless": ("1.2.840.10008.1.2.4.70", "image/jpeg", imagecodecs.ljpeg_decode),
    "JPEG-LS": (made.JPEG_LS, "image/jls", imagecodecs.jpegls_decode),
    "JPEG 2000": (made.JPEG_2000, "image/jp2", imagecodecs.jpeg2k_decode),
    "HTJ2K": (made.HTJ2K, "image/jphc", imagecodecs.htj2k_decode),
}


def _target(name: str, *, named: bool) -> Callable[[Bench], None]:
    syntax, media_type, decode = TARGETS[name]

    def run(bench: Bench) -> None:
        sample = bench["sparse"]
        accept = f'multipart/related; type="{media_type}"'
        if named:
            accept += f"; transfer-syntax={syntax}"
        answer = bench.get(sample.frame_path(1), accept)
        if answer.status in {400, 406}:
            raise Skipped(f"{name} is not offered, and need not be")
        part = only_part(answer)
        expect(part.content_type == media_type, f"a part of type {part.content_type}")
        expect(part.transfer_syntax in {None, syntax}, f"a part in {part.transfer_syntax}")
        try:
            pixels = decode(part.content)
        except Exception as error:
            raise Failed(f"the part is not {name}: {error}") from error
        wanted = np.asarray(sample.pixels)[0]
        if pixels.shape[0] == 3:  # how imagecodecs gives components that are not transformed
            pixels = np.moveaxis(pixels, 0, -1)
        expect(np.array_equal(pixels, wanted), "other pixels, in a lossless syntax")

    return run


for _name in TARGETS:
    transcoding.add(
        f"to {_name}",
        "PS3.18 Table 8.7.3-5",
        f"where {_name} is offered for native frames, it is lossless",
        _target(_name, named=True),
    )
    transcoding.add(
        f"to {_name} by default",
        "PS3.18 Table 8.7.3-5",
        f"the default of {TARGETS[_name][1]} is the lossless syntax",
        _target(_name, named=False),
    )


@transcoding.standard(
    "PS3.18 Table 8.7.3-5", "where RLE is offered for native frames, it is lossless"
)
def to_rle(bench: Bench) -> None:
    sample = bench["sparse"]
    accept = f'multipart/related; type="image/dicom-rle"; transfer-syntax={made.RLE}'
    answer = bench.get(sample.frame_path(1), accept)
    if answer.status in {400, 406}:
        raise Skipped("RLE is not offered, and need not be")
    part = only_part(answer)
    wanted = np.asarray(sample.pixels)[:1]
    dataset = made.describe(made.copied(sample.dataset), wanted)
    again = made.encapsulated("rle again", dataset, [part.content], wanted, made.RLE)
    expect(
        (read(again.content).pixel_array == wanted[0]).all(), "other pixels, in a lossless syntax"
    )


@transcoding.standard(
    "PS3.18 §8.7.8.2", "JPEG Baseline, where offered, is sent to those who name it"
)
def to_jpeg(bench: Bench) -> None:
    sample = bench["sparse"]
    accept = f'multipart/related; type="image/jpeg"; transfer-syntax={made.JPEG_BASELINE}'
    answer = bench.get(sample.frame_path(1), accept)
    if answer.status in {400, 406}:
        raise Skipped("JPEG Baseline is not offered for native frames, and need not be")
    part = only_part(answer)
    expect(part.content[:2] == b"\xff\xd8", "the part is no JPEG")
    got = mean_colour(picture_of(answer.request, part.content))
    wanted = np.asarray(sample.pixels)[0].reshape(-1, 3).mean(axis=0)
    expect(np.abs(got - wanted).max() < 12, f"mean colour {got.round()}, not {wanted.round()}")


@transcoding.standard("PS3.18 Table 8.7.3-2", "whole instances in other syntaxes keep their pixels")
def instances(bench: Bench) -> None:
    offered = 0
    for syntax in (made.JPEG_2000, made.JPEG_LS, made.RLE):
        for name in ("sparse", "words"):
            sample = bench[name]
            answer = bench.get(sample.path, f"{DICOM_PARTS}; transfer-syntax={syntax}")
            if answer.status == 406:
                continue
            offered += 1
            content = only_part(answer).content
            expect(syntax_of(content) == syntax, f"it came in {syntax_of(content)}, not {syntax}")
            expect((read(content).pixel_array == sample.pixels).all(), f"other pixels in {syntax}")
    if not offered:
        raise Skipped("no compressed transfer syntax is offered for native instances")


@transcoding.standard("PS3.18 §8.7.8.1", "a syntax that cannot be made of a picture is 406")
def impossible(bench: Bench) -> None:
    accept = 'multipart/related; type="video/mp4"; transfer-syntax=1.2.840.10008.1.2.4.102'
    expect_status(bench.get(bench["words"].frame_path(1), accept), 406)
