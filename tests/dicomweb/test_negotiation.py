"""Accept as real clients send it, and as nobody should."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import MalformedQuery, MalformedRequest, NotAcceptable
from dicomweb.media_types import parse_accept, parse_media_type
from dicomweb.negotiation import Offer, check_charset, choose

JPEG, J2K, EXPLICIT = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.1",
)
OCTETS = "application/octet-stream"
STORED = Offer("image/jpeg", multipart=True, transfer_syntax=JPEG)
STORED_OCTETS = Offer(OCTETS, multipart=True, transfer_syntax=JPEG, implied=False)
DECODED = Offer(OCTETS, multipart=True, transfer_syntax=EXPLICIT)
SINGLE = Offer("image/jpeg", transfer_syntax=JPEG)
SINGLE_OCTETS = Offer(OCTETS, transfer_syntax=JPEG, implied=False)
SINGLE_DECODED = Offer(OCTETS, transfer_syntax=EXPLICIT)
FRAMES = [STORED, STORED_OCTETS, DECODED, SINGLE, SINGLE_OCTETS, SINGLE_DECODED]
JSON = Offer("application/dicom+json")
PLAIN_JSON = Offer("application/json")

# What was asked of a frame stored as JPEG, and what it has to be answered with.
FRAME_TABLE = [
    # Slim and dicom-microscopy-viewer
    ('multipart/related; type="application/octet-stream"; transfer-syntax=*', STORED_OCTETS),
    # wsidicom
    (f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG}', STORED),
    (f'multipart/related; type="image/jp2"; transfer-syntax={J2K}', None),
    # dicomweb-client for Python
    ('multipart/related; type="*/*"', STORED),
    ('multipart/related; type="image/*"', STORED),
    ('multipart/related; type="image/jpeg"', STORED),
    ('multipart/related; type="application/octet-stream"', DECODED),
    (f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT}', DECODED),
    # our page
    ("image/jpeg", SINGLE),
    ("application/octet-stream", SINGLE_DECODED),
    ("application/octet-stream; transfer-syntax=*", SINGLE_OCTETS),
    # curl and EZ-WSI
    ("*/*", STORED),
    ("", STORED),
    # browsers
    (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        STORED,
    ),
    ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", SINGLE),
    # Java's URLConnection
    ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", SINGLE),
    # spelling
    ("multipart/related;TYPE=image/jpeg;Transfer-Syntax=*", STORED),
    ('multipart/related ; transfer-syntax="*" ; type="Image/JPEG"', STORED),
    (f'multipart/related; type="image/jpeg; transfer-syntax={JPEG}"', STORED),
    ("multipart/related", STORED),
    # weights
    ("image/jpeg;q=0.5, application/octet-stream;q=0.9", SINGLE_DECODED),
    ("image/jpeg;q=0", None),
    ("text/html", None),
    ("image/png", None),
    ("multipart/mixed", None),
    # a good alternative beside one that cannot be read
    ('image/jpeg, "nonsense', SINGLE),
    ("no-slash, image/jpeg", SINGLE),
]


@pytest.mark.parametrize(("accept", "expected"), FRAME_TABLE)
def test_a_frame_goes_as_the_client_asks(accept: str, expected: Offer | None) -> None:
    if expected is None:
        with pytest.raises(NotAcceptable) as caught:
            choose(FRAMES, accept=[accept])
        assert str(STORED) in caught.value.available
    else:
        assert choose(FRAMES, accept=[accept]) == expected


def test_ohif_gets_what_needs_no_transcoding() -> None:
    accept = ", ".join(
        f'multipart/related; type="{name}"; transfer-syntax={syntax}'
        for name, syntax in (
            ("image/jls", "1.2.840.10008.1.2.4.80"),
            ("image/jp2", J2K),
            ("image/jpx", "1.2.840.10008.1.2.4.92"),
            (OCTETS, "*"),
            ("image/jpeg", JPEG),
        )
    )
    assert choose(FRAMES, accept=[accept]) in {STORED, STORED_OCTETS}


DICOM = "application/dicom"
EXPANDED = Offer(DICOM, multipart=True, transfer_syntax=EXPLICIT, starred=False)
LOSSLESS = Offer(DICOM, multipart=True, transfer_syntax=J2K, implied=False)
LOSSY = Offer(DICOM, multipart=True, transfer_syntax=JPEG, named_only=True)
SINGLES = [replace(one, multipart=False) for one in (EXPANDED, LOSSLESS, LOSSY)]
ZIPPED = Offer("application/zip", transfer_syntax=EXPLICIT, starred=False)
INSTANCE = [EXPANDED, LOSSLESS, LOSSY, *SINGLES, ZIPPED]

# What was asked of an instance stored as JPEG 2000 without loss.
INSTANCE_TABLE = [
    # dicomweb-client for Python
    ('multipart/related; type="application/dicom"; transfer-syntax=*', LOSSLESS),
    # dicomweb-client for JavaScript, and with it OHIF and Slim
    ('multipart/related; type="application/dicom"', EXPANDED),
    # EZ-WSI, its parameters in the order it has
    ('multipart/related; transfer-syntax=*; type="application/dicom"', LOSSLESS),
    (f"application/dicom; transfer-syntax={EXPLICIT}", SINGLES[0]),
    ("application/dicom; transfer-syntax=*", SINGLES[1]),
    # OHIF's older ones quote every value
    (f'multipart/related; type="application/dicom"; transfer-syntax="{JPEG}"', LOSSY),
    # curl and browsers: the default, PS3.18 §8.7.8.1
    ("*/*", EXPANDED),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", EXPANDED),
    ("application/zip", ZIPPED),
    # PS3.18 §8.7.3.5.2, its example
    (
        f'multipart/related; type="application/dicom";transfer-syntax={JPEG};boundary=**, '
        f'multipart/related; type="application/dicom";transfer-syntax={J2K};q=0.5;boundary=**',
        LOSSY,
    ),
    ('multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2', None),
    ('multipart/related; type="application/dicom+xml"', None),
]


@pytest.mark.parametrize(("accept", "expected"), INSTANCE_TABLE)
def test_an_instance_goes_as_the_client_asks(accept: str, expected: Offer | None) -> None:
    if expected is None:
        with pytest.raises(NotAcceptable):
            choose(INSTANCE, accept=[accept])
    else:
        assert choose(INSTANCE, accept=[accept]) == expected
        assert choose(INSTANCE, query=[accept]) == expected


@pytest.mark.parametrize(
    ("former", "name"),
    [
        ("image/x-jls", "image/jls"),
        ("image/x-dicom-rle", "image/dicom-rle"),
        ("image/jhc", "image/jphc"),
    ],
)
def test_media_types_are_known_by_their_former_names(former: str, name: str) -> None:
    for offer in (Offer(name), Offer(name, multipart=True)):
        accept = f'multipart/related; type="{former}"' if offer.multipart else former
        assert choose([offer], accept=[accept]) == offer


def test_refusing_a_media_type_leaves_the_others() -> None:
    assert choose([JSON, PLAIN_JSON], accept=["application/dicom+json;q=0, */*"]) == PLAIN_JSON


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/dicom+json", JSON),
        ("application/dicom+json, application/json", JSON),
        ("application/json", PLAIN_JSON),
        ("APPLICATION/DICOM+JSON", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html,*/*;q=0.1", JSON),
        ("application/dicom+json;q=0.2, application/json;q=0.7", PLAIN_JSON),
        ('application/dicom+json; transfer-syntax="*"; charset=utf-8', JSON),
    ],
)
def test_json_goes_as_the_client_asks(accept: str, expected: Offer) -> None:
    assert choose([JSON, PLAIN_JSON], accept=[accept]) == expected


def test_several_fields_add_up() -> None:
    assert choose(FRAMES, accept=["text/html", "image/jpeg"]) == SINGLE


def test_the_accept_parameter_goes_before_the_header() -> None:
    found = choose(FRAMES, accept=["*/*"], query=["application/octet-stream"])
    assert found == SINGLE_DECODED
    found = choose(FRAMES, accept=["*/*"], query=[OCTETS], transfer_syntax="*")
    assert found == SINGLE_OCTETS


def test_what_the_parameter_names_and_is_not_there_leaves_it_to_the_header() -> None:
    assert choose(FRAMES, accept=["image/jpeg"], query=["image/png"]) == SINGLE


@pytest.mark.parametrize(
    "text", ["image", "image/", "/jpeg", "image/jpeg;q=2", "image/jpeg;q=x", '"', ";", "*/jpeg"]
)
def test_an_accept_without_anything_readable_accepts_nothing(text: str) -> None:
    with pytest.raises(NotAcceptable):  # PS3.18 §8.7.7: what is not valid is ignored
        choose(FRAMES, accept=[text])
    with pytest.raises(MalformedRequest):
        choose(FRAMES, query=[text])


@pytest.mark.parametrize(
    "value", ["utf-8", "UTF-8", "iso-8859-1;q=0.9,utf-8;q=0.1", '"ISO_IR 192"', "ISO_IR 192"]
)
def test_text_is_to_be_had_in_utf8(value: str) -> None:
    check_charset([value])


@pytest.mark.parametrize("value", ["iso-8859-1", "", "utf8", "nonsense,latin1", "*"])
def test_a_charset_that_there_is_not_is_malformed(value: str) -> None:
    with pytest.raises(MalformedQuery):  # PS3.18 §8.3.3.2
        check_charset([value])


def test_an_endless_accept_is_refused() -> None:
    with pytest.raises(MalformedRequest):
        parse_accept(",".join(["image/jpeg"] * 10_000))


def test_quoted_values_may_hold_separators() -> None:
    found = parse_media_type('multipart/related; boundary="a;b,c=\\"d"; type=x/y')
    assert found.parameters == {"boundary": 'a;b,c="d', "type": "x/y"}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedRequest, NotAcceptable):
        choose(FRAMES, accept=[text], query=[text])


_PARAMETERS = st.permutations(
    ['type="image/jpeg"', f"transfer-syntax={JPEG}", "q=0.7", 'x="a,b;c"']
)


@given(_PARAMETERS, st.sampled_from(["; ", ";", " ; ", ";  ;"]), st.booleans())
def test_order_spaces_and_case_make_no_difference(
    parameters: list[str], separator: str, upper: bool
) -> None:
    text = separator.join(["multipart/related", *parameters])
    assert choose(FRAMES, accept=[text.upper() if upper else text]) == STORED
