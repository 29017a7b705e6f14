"""Frames as they are stored (PS3.18 §10.4.1.1.1, §8.7.3.3)."""

from collections.abc import Callable

from conformance.checks import samples as made
from conformance.checks.bench import (
    EVERY_PART_TYPE,
    OCTETS,
    Bench,
    expect,
    expect_status,
    expect_type,
    only_part,
    same_frame,
)
from conformance.checks.collection import SIDE
from conformance.checks.multipart import parameter
from conformance.checks.registry import Category
from conformance.checks.samples import Sample

frames = Category("Frames")

JPEG_PARTS = f'multipart/related; type="image/jpeg"; transfer-syntax={made.JPEG_BASELINE}'
OCTET_PARTS = 'multipart/related; type="application/octet-stream"'
# Cornerstone's list, as OHIF 3.13 sends it.
OHIF = ", ".join(
    f"multipart/related; type={kind}; transfer-syntax={syntax}"
    for kind, syntax in (
        ("image/jls", "1.2.840.10008.1.2.4.80"),
        ("image/jls", "1.2.840.10008.1.2.4.81"),
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jp2", "1.2.840.10008.1.2.4.91"),
        ("image/jpx", "1.2.840.10008.1.2.4.92"),
        ("image/jpx", "1.2.840.10008.1.2.4.93"),
        ("application/octet-stream", "*"),
        ("image/jpeg", "1.2.840.10008.1.2.4.50"),
    )
)


def expect_stored(bench: Bench, sample: Sample, accept: str = EVERY_PART_TYPE) -> None:
    """Fail the check when a frame of a sample is not what was stored."""
    for number, stored in enumerate(sample.frames, 1):
        part = only_part(bench.get(sample.frame_path(number), accept))
        expect(
            same_frame(part.content, stored), f"frame {number} of “{sample.name}” is not as stored"
        )


@frames.standard("PS3.18 §8.7.3.5.2", "octet-stream with transfer-syntax=* is the stored stream")
def stored_stream(bench: Bench) -> None:
    expect_stored(bench, bench.slide)


@frames.standard("PS3.18 Table 8.7.3-5", "JPEG frames are to be had as image/jpeg in parts")
def jpeg_in_parts(bench: Bench) -> None:
    part = only_part(bench.get(bench.slide.frame_path(2), JPEG_PARTS))
    expect(part.content_type == "image/jpeg", f"a part of type {part.content_type}")
    expect(same_frame(part.content, bench.slide.frames[1]), "not the stored frame")


@frames.standard("PS3.18 §10.1.1", "a list of frames is as many parts in the order of the list")
def list_of_frames(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path("1,3,4,6"), EVERY_PART_TYPE)
    expect_status(answer, 200)
    wanted = [bench.slide.frames[number - 1] for number in (1, 3, 4, 6)]
    got = [part.content for part in answer.parts]
    expect(len(got) == 4, f"{len(got)} parts, not 4")
    expect(all(map(same_frame, got, wanted)), "not the frames that were asked for, or in disorder")


@frames.client("wsidicom 0.36, web client", "frames come in the order in which they are asked for")
def order_of_frames(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path("5,2,4"), JPEG_PARTS)
    expect_status(answer, 200)
    wanted = [bench.slide.frames[number - 1] for number in (5, 2, 4)]
    got = [part.content for part in answer.parts]
    expect(len(got) == 3 and all(map(same_frame, got, wanted)), "other frames, or in another order")


@frames.client("wsidicom 0.36, web client", "a list may have encoded commas")
def encoded_commas(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path("1%2C2"), EVERY_PART_TYPE)
    expect_status(answer, 200)
    expect(len(answer.parts) == 2, f"{len(answer.parts)} parts, not 2")


@frames.client("wsidicom 0.36, EZ-WSI DICOMweb 6.1", "400 frames are to be had in one request")
def many_frames(bench: Bench) -> None:
    sample = bench["many frames"]
    answer = bench.get(sample.frame_path(",".join(map(str, range(1, 401)))), EVERY_PART_TYPE)
    expect_status(answer, 200)
    got = [part.content for part in answer.parts]
    expect(len(got) == 400, f"{len(got)} parts, not 400")
    expect(all(map(same_frame, got, sample.frames)), "not the frames that are stored")


def _register_forms() -> None:
    forms = {
        "sparse": "frames of a sparsely tiled level",
        "words": "native frames of 16 bits, little endian",
        "bytes": "a native frame of an odd number of bytes",
        "segmentation": "frames of one bit that do not start on a byte, aligned",
        "planar": "native frames with planes, as Planar Configuration says",
        "fragments": "frames of several fragments, joined",
        "one in fragments": "a frame of several fragments without an offset table, joined",
        "extended table": "frames behind an extended offset table",
        "deflated": "the frame of a deflated data set",
        "big endian": "frames stored in big endian, swapped",
        "implicit": "the frame of an implicit VR data set",
        "rle": "RLE frames",
        "jpeg-ls": "JPEG-LS frames",
        "jpeg 2000": "JPEG 2000 frames",
    }
    cites = {
        "big endian": "PS3.18 §8.7.3.3.1",
        "fragments": "PS3.18 §8.7.3.3.2",
        "one in fragments": "PS3.18 §8.7.3.3.2",
        "segmentation": "PS3.18 §10.4.1.1.1, PS3.5 §8.1.1",
    }
    for name, what in forms.items():

        def run(bench: Bench, name: str = name) -> None:
            expect_stored(bench, bench[name])

        frames.add(f"stored {name}", cites.get(name, "PS3.18 §10.4.1.1.1"), what, run)


_register_forms()


@frames.standard(
    "PS3.18 §8.7.3.3.1", "native frames are the default of octet-stream without a syntax"
)
def native_by_default(bench: Bench) -> None:
    for name in ("words", "sparse", "bytes"):
        expect_stored(bench, bench[name], OCTET_PARTS)


@frames.standard("PS3.18 Table 10.4.4-1", "native frames are to be had for */*")
def native_for_anything(bench: Bench) -> None:
    sample = bench["words"]
    answer = bench.get(sample.frame_path(2), "*/*")
    expect_status(answer, 200)
    single = answer.content_type == OCTETS
    got = answer.body if single else answer.parts[0].content
    expect(same_frame(got, sample.frames[1]), "not the stored frame")


@frames.standard("PS3.18 §8.7.3.4", "a lossy frame is sent though no transfer syntax is named")
def lossy_without_a_syntax(bench: Bench) -> None:
    for accept in (OCTET_PARTS, 'multipart/related; type="image/jpeg"'):
        part = only_part(bench.get(bench.slide.frame_path(1), accept))
        if same_frame(part.content, bench.slide.frames[0]):
            continue
        native = SIDE * SIDE * 3  # decoders differ by a step here and there
        expect(len(part.content) == native, "neither the stored nor the decoded frame")


@frames.standard("PS3.18 §8.6.1.2", "every part has a Content-Type; it names a stored syntax")
def types_of_parts(bench: Bench) -> None:
    part = only_part(bench.get(bench.slide.frame_path(1), EVERY_PART_TYPE))
    if part.content_type == "image/jpeg":
        return
    expect(part.content_type == OCTETS, f"a part of type {part.content_type or 'none'}")
    expect(
        part.transfer_syntax == made.JPEG_BASELINE,
        "octets without a transfer syntax are Explicit VR Little Endian, and these are JPEG",
    )


@frames.standard("PS3.18 §8.7.1", "the multipart type names the type of its parts")
def type_parameter(bench: Bench) -> None:
    for accept in (EVERY_PART_TYPE, JPEG_PARTS):
        answer = bench.get(bench.slide.frame_path(1), accept)
        part = only_part(answer)
        named = parameter(answer.header("content-type") or "", "type") or ""
        named = named.partition(";")[0].strip().lower()
        expect(named == part.content_type, f"type={named}, and a part of {part.content_type}")


@frames.standard("PS3.18 Table 8.6.1-1", "every part says where it comes from")
def locations_of_parts(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path("2,5"), EVERY_PART_TYPE)
    expect_status(answer, 200)
    for number, part in zip((2, 5), answer.parts, strict=True):
        where = part.headers.get("content-location", "")
        expect(where.endswith(f"/frames/{number}"), f"Content-Location: {where or 'none'}")


@frames.client(
    "dcmjs dicomweb-client 0.11, multipartDecode", "a part's header ends within 1000 bytes"
)
def short_headers(bench: Bench) -> None:
    for part in bench.get(bench.slide.frame_path("1,2"), EVERY_PART_TYPE).parts:
        expect(part.header_bytes < 1000, f"{part.header_bytes} bytes of header")


@frames.client(
    "Cornerstone and dcmjs dicomweb-client 0.11", "after the closing boundary there is CRLF at most"
)
def end_of_the_body(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path(1), EVERY_PART_TYPE)
    expect_status(answer, 200)
    boundary = parameter(answer.header("content-type") or "", "boundary") or "?"
    expect(
        answer.body.endswith((f"--{boundary}--".encode(), f"--{boundary}--\r\n".encode())),
        f"the body ends with {answer.body[-40:]!r}",
    )


@frames.client("dicomweb-client (Python) 0.61, retrieve_instance_frames", "parts of any type")
def parts_of_any_type(bench: Bench) -> None:
    expect_stored(bench, bench.slide, 'multipart/related; type="*/*"')


@frames.client("OHIF 3.13, Cornerstone", "of eight alternatives one is what is stored")
def ohif_list(bench: Bench) -> None:
    expect_stored(bench, bench.slide, OHIF)


@frames.client("Cornerstone's default", "type=application/octet-stream without quotes")
def cornerstone(bench: Bench) -> None:
    accept = "multipart/related; type=application/octet-stream; transfer-syntax=*"
    expect_stored(bench, bench.slide, accept)
    expect_stored(bench, bench["words"], accept)


@frames.client(
    "wsidicom 0.36, probing", "a syntax that frames cannot be had in is 406, not 400 or 500"
)
def probing(bench: Bench) -> None:
    for kind, syntax in (("image/jp2", made.JPEG_2000), ("image/jls", made.JPEG_LS)):
        accept = f'multipart/related; type="{kind}"; transfer-syntax={syntax}'
        answer = bench.get(bench.slide.frame_path(1), accept)
        expect(answer.status in {200, 406}, f"{answer}, not 200 or 406")


@frames.client("OpenLayers pages, <img>", "a JPEG frame is to be had as a single image/jpeg")
def single_jpeg(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path(3), "image/jpeg")
    expect_status(answer, 200)
    expect_type(answer, "image/jpeg")
    expect(same_frame(answer.body, bench.slide.frames[2]), "not the stored frame")


@frames.client("OpenLayers pages", "a native frame is to be had as single octets")
def single_octets(bench: Bench) -> None:
    answer = bench.get(bench["words"].frame_path(3), OCTETS)
    expect_status(answer, 200)
    expect_type(answer, OCTETS)
    expect(same_frame(answer.body, bench["words"].frames[2]), "not the stored frame")


def _statuses(numbers: str, *statuses: int) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        answer = bench.get(bench.slide.frame_path(numbers), EVERY_PART_TYPE)
        expect(answer.status in statuses, f"{answer}, not {' or '.join(map(str, statuses))}")

    return run


for _name, _numbers, _wanted in (
    ("past the last", "7", (404,)),
    ("far past the last", "4000000000", (404, 400)),
    ("zero", "0", (400, 404)),
    ("a negative", "-1", (400, 404)),
    ("a word", "first", (400, 404)),
    ("a fraction", "1.5", (400, 404)),
    ("an empty item", "1,,2", (400, 404)),
):
    frames.add(
        f"number {_name}",
        "PS3.18 §10.4.3.1",
        f"frame {_numbers} of 6 is {' or '.join(map(str, _wanted))}",
        _statuses(_numbers, *_wanted),
    )


@frames.standard("PS3.18 §10.4.3.1", "an instance without pixel data has no frames: 404, or 400")
def no_frames(bench: Bench) -> None:
    expect_status(bench.get(bench["report"].frame_path(1), EVERY_PART_TYPE), 404, 400)


@frames.standard("RFC 9110 §8.6", "the answer says its length")
def length(bench: Bench) -> None:
    answer = bench.get(bench.slide.frame_path(1), EVERY_PART_TYPE)
    expect_status(answer, 200)
    given = answer.header("content-length")
    expect(given == str(len(answer.body)), f"Content-Length: {given} of {len(answer.body)} bytes")
