from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from archive.model.transfer_syntaxes import DEFLATED, EXPLICIT_LITTLE
from tests.support.dicom_files import (
    MadeFile,
    jpeg_slide,
    monochrome,
    native_slide,
    part10,
    study_attributes,
)
from tests.support.http import parts_of, path_of, store

if TYPE_CHECKING:
    import httpx


ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.33"


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    image = Image.open(io.BytesIO(answer.content))
    image.load()
    return image


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/jpeg", "JPEG"),
        ("image/png", "PNG"),
        ("image/gif", "GIF"),
        ("*/*", "JPEG"),
        ("image/*", "JPEG"),
        ("image/avif,image/webp,image/apng,image/*,*/*;q=0.8", "JPEG"),
        ("image/jpeg;q=0.1, image/png", "PNG"),
    ],
)
def test_a_frame_is_drawn_as_the_client_asks(client: httpx.Client, accept: str, kind: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = client.get(f"{path_of(slide)}/frames/2/rendered", headers={"accept": accept})
    image = picture(answer)
    assert (image.format, image.size) == (kind, (32, 32))
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert slide.pixels is not None
    got = np.asarray(image.convert("RGB")).astype(int)
    # GIF has 256 colours.
    assert np.abs(got - slide.pixels[1]).mean() < (12 if kind == "GIF" else 4)


def test_tiles_are_put_together_to_a_picture_of_the_instance(client: httpx.Client) -> None:
    slide = native_slide(across=3, down=2, side=16)
    store(client, slide)
    answer = client.get(f"{path_of(slide)}/rendered", headers={"accept": "image/png"})
    image = picture(answer)
    assert image.size == (48, 32)
    assert slide.pixels is not None
    assert np.array_equal(np.asarray(image)[16:, 32:48], slide.pixels[5])


def test_slim_gets_its_overview_scaled_and_not_padded(client: httpx.Client) -> None:
    slide = native_slide(across=3, down=2, side=64)
    store(client, slide)
    for comma in (",", "%2C"):
        path = f"{path_of(slide)}/rendered?viewport=96{comma}96"
        assert picture(client.get(path, headers={"accept": "image/png"})).size == (96, 64)


@pytest.mark.parametrize(
    "query",
    [
        "viewport=0,0",
        "viewport=-1,5",
        "viewport=10",
        "viewport=a,b",
        "viewport=100000,100000",
        "viewport=99999999999999999999,1",
        "viewport=10,10,500,500,10,10",
        "viewport=10,10&viewport=20,20",
        "viewport=10,10,nan,0,5,5",
        "quality=0",
        "quality=101",
        "quality=x",
        "quality=-1",
        "quality=",
        "window=1",
        "window=a,b",
        "window=1,0",
        "window=1,2,cubic",
        "window=6000,4000",
        "iccprofile=maybe",
        "annotation=",
        "annotation=patient,doctor",
        "viewport=%00",
    ],
)
@pytest.mark.parametrize("resource", ["/rendered", "/frames/1/rendered"])
def test_bad_parameters_are_400(client: httpx.Client, query: str, resource: str) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = client.get(f"{path_of(slide)}{resource}?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_window_changes_what_is_seen(client: httpx.Client) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(1, 8, 8) * 1000
    image = monochrome(values)
    store(client, image)
    path = f"{path_of(image)}/frames/1/rendered"
    png = {"accept": "image/png"}
    low = np.asarray(picture(client.get(f"{path}?window=5000,10000,linear", headers=png)))
    high = np.asarray(picture(client.get(f"{path}?window=60000,1000,linear", headers=png)))
    assert low.mean() > high.mean()


def test_several_frames_are_drawn_as_parts(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = client.get(f"{path_of(slide)}/frames/2,1/rendered")
    parts = parts_of(answer)
    assert [kind for kind, _ in parts] == ["image/jpeg", "image/jpeg"]
    one = client.get(f"{path_of(slide)}/frames/1/rendered")
    assert parts[1][1] == one.content
    single = client.get(f"{path_of(slide)}/frames/2,1/rendered", headers={"accept": "image/jpeg"})
    assert single.status_code == 406


@pytest.mark.parametrize(("frames", "status"), [("7", 404), ("0", 400), ("x", 400), ("1,,2", 400)])
def test_frames_that_there_are_not(client: httpx.Client, frames: str, status: int) -> None:
    slide = jpeg_slide()
    store(client, slide)
    assert client.get(f"{path_of(slide)}/frames/{frames}/rendered").status_code == status


def test_thumbnails_of_instance_series_and_study(client: httpx.Client) -> None:
    level = jpeg_slide(across=20, down=10)
    same = {
        "StudyInstanceUID": level.dataset.StudyInstanceUID,
        "SeriesInstanceUID": level.dataset.SeriesInstanceUID,
    }
    small = jpeg_slide(
        across=1,
        down=1,
        side=40,
        ImageType=["DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"],
        **same,
    )
    label = jpeg_slide(
        across=1, down=1, side=24, ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"], **same
    )
    assert store(client, level, small, label).status_code == 200
    instance = path_of(level)
    series = instance.partition("/instances/")[0]
    study = instance.partition("/series/")[0]
    for resource in (series, study):
        answer = client.get(f"{resource}/thumbnail?viewport=20,20")
        assert picture(answer).size == (20, 20)
    assert picture(client.get(f"{instance}/thumbnail")).size == (256, 128)
    assert picture(client.get(f"{path_of(label)}/thumbnail?viewport=24,24")).size == (24, 24)
    assert client.get(f"{series}/thumbnail?viewport=1,1,1,1,1,1").status_code == 400
    assert client.get("/dicomweb/studies/1.2/thumbnail").status_code == 404
    assert client.get(f"{study}/series/1.2/thumbnail").status_code == 404


def test_a_label_never_is_a_thumbnail(client: httpx.Client) -> None:
    label = jpeg_slide(across=1, down=1, ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"])
    store(client, label)
    series = path_of(label).partition("/instances/")[0]
    for resource in (path_of(label), f"{path_of(label)}/frames/1", series):
        answer = client.get(f"{resource}/thumbnail")
        assert answer.status_code == 406, resource
    same = {
        "StudyInstanceUID": label.dataset.StudyInstanceUID,
        "SeriesInstanceUID": label.dataset.SeriesInstanceUID,
    }
    level = jpeg_slide(across=2, down=1, side=24, **same)
    store(client, level)
    for resource in (path_of(label), f"{path_of(label)}/frames/1", series):
        assert picture(client.get(f"{resource}/thumbnail")).size == (256, 128)


def test_a_frame_has_a_thumbnail(client: httpx.Client) -> None:
    slide = native_slide(side=64)
    store(client, slide)
    assert slide.pixels is not None
    for frames, number in (("2", 2), ("3,1", 3)):
        path = f"{path_of(slide)}/frames/{frames}/thumbnail?viewport=32,32"
        image = picture(client.get(path, headers={"accept": "image/png"}))
        assert image.size == (32, 32)
        expected = slide.pixels[number - 1].mean(axis=(0, 1))
        assert np.abs(np.asarray(image).mean(axis=(0, 1)) - expected).max() < 3
    assert client.get(f"{path_of(slide)}/frames/7/thumbnail").status_code == 404


def still_and_moving() -> MadeFile:
    values = np.stack([np.full((8, 12), 40 * number, np.uint8) for number in range(5)])
    return monochrome(values)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("*/*", "GIF"), ("image/gif", "GIF"), ("image/png", "PNG"), ("image/jpeg", "JPEG")],
)
def test_frames_that_are_no_tiles_move_or_one_stands_for_them(
    client: httpx.Client, accept: str, kind: str
) -> None:
    made = still_and_moving()
    store(client, made)
    image = picture(client.get(f"{path_of(made)}/rendered", headers={"accept": accept}))
    assert image.format == kind
    assert getattr(image, "n_frames", 1) == (5 if kind == "GIF" else 1)


def test_frames_are_scaled_by_their_own_functional_groups(client: httpx.Client) -> None:
    def groups(slope: float, center: float) -> Dataset:
        frame, voi, transformation = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 101
        transformation.RescaleSlope, transformation.RescaleIntercept = slope, 0
        transformation.RescaleType = "US"
        frame.FrameVOILUTSequence = [voi]
        frame.PixelValueTransformationSequence = [transformation]
        return frame

    values = np.arange(101, dtype=np.uint16).reshape(1, 1, 101).repeat(2, axis=0)
    made = monochrome(values, PerFrameFunctionalGroupsSequence=[groups(1, 50.5), groups(2, 100.5)])
    store(client, made)
    png = {"accept": "image/png"}
    rows = [
        np.asarray(picture(client.get(f"{path_of(made)}/frames/{number}/rendered", headers=png)))[
            0
        ].astype(int)
        for number in (1, 2)
    ]
    assert np.abs(rows[0] - np.arange(101) * 2.55).max() <= 1
    # Twice the values, of which the window shows those from 50 to 150.
    assert np.abs(rows[1] - np.clip(np.arange(101) * 5.1 - 127.5, 0, 255)).max() <= 1
    asked = f"{path_of(made)}/frames/2/rendered?window=100.5,101,linear"
    assert np.array_equal(np.asarray(picture(client.get(asked, headers=png)))[0], rows[1])
    moving = picture(client.get(f"{path_of(made)}/rendered", headers={"accept": "image/gif"}))
    moving.seek(1)
    assert np.abs(np.asarray(moving.convert("L"))[0].astype(int) - rows[1]).max() <= 2


def test_a_thumbnail_never_moves(client: httpx.Client) -> None:
    made = still_and_moving()
    store(client, made)
    for resource in (path_of(made), path_of(made).partition("/instances/")[0]):
        answer = client.get(f"{resource}/thumbnail", headers={"accept": "image/gif"})
        image = picture(answer)
        assert getattr(image, "n_frames", 1) == 1
        assert image.convert("L").getpixel((0, 0)) == 80


def test_pictures_of_a_series_come_in_parts_alone(client: httpx.Client) -> None:
    first = native_slide()
    same = {
        "StudyInstanceUID": first.dataset.StudyInstanceUID,
        "SeriesInstanceUID": first.dataset.SeriesInstanceUID,
    }
    second = jpeg_slide(across=1, down=1, **same)
    level = jpeg_slide(TotalPixelMatrixColumns=20_000, TotalPixelMatrixRows=15_000, **same)
    report = study_attributes(SOPClassUID=ENHANCED_SR, Modality="SR", **same)
    other = MadeFile(part10(report, EXPLICIT_LITTLE), report)
    # 202: its Total Pixel Matrix is far larger than its frames, so that it is not worth drawing.
    assert store(client, first, second, level, other).status_code == 202
    series = path_of(first).partition("/instances/")[0]
    study = series.partition("/series/")[0]
    for resource in (series, study):
        for accept in ("*/*", 'multipart/related; type="image/png"'):
            answer = client.get(f"{resource}/rendered", headers={"accept": accept})
            sizes = [Image.open(io.BytesIO(content)).size for _, content in parts_of(answer)]
            assert sizes == [(48, 32), (32, 32)]
        # PS3.18 §10.4.4: a single part is for single response items, whatever there is.
        single = client.get(f"{resource}/rendered", headers={"accept": "image/jpeg"})
        assert single.status_code == 406
        again = client.get(
            f"{resource}/rendered",
            headers={"accept": accept, "if-none-match": answer.headers["etag"]},
        )
        assert again.status_code == 304
    assert client.get(f"{study}/rendered?quality=0").status_code == 400
    assert client.get("/dicomweb/studies/1.2/rendered").status_code == 404
    alone = study_attributes(SOPClassUID=ENHANCED_SR, Modality="SR")
    store(client, MadeFile(part10(alone, EXPLICIT_LITTLE), alone))
    path = f"/dicomweb/studies/{alone.StudyInstanceUID}/rendered"
    assert client.get(path).status_code == 406


def test_a_picture_may_be_asked_for_as_the_only_part(client: httpx.Client) -> None:
    slide = native_slide()
    store(client, slide)
    for resource in ("rendered", "frames/2/rendered", "thumbnail"):
        answer = client.get(
            f"{path_of(slide)}/{resource}",
            headers={"accept": 'multipart/related; type="image/png"'},
        )
        ((kind, content),) = parts_of(answer)
        assert kind == "image/png"
        # PS3.18 Table 8.6.1-1: each part says where it comes from.
        assert (
            f"\r\nContent-Location: {client.base_url}{path_of(slide)}".replace(
                "//dicomweb", "/dicomweb"
            ).encode()
            in answer.content
        )
        assert Image.open(io.BytesIO(content)).format == "PNG"


@pytest.mark.parametrize("resource", ["rendered", "frames/1/rendered", "frames/2,1/rendered"])
def test_deflated_instances_are_drawn(client: httpx.Client, resource: str) -> None:
    slide = native_slide(syntax=DEFLATED)
    store(client, slide)
    answer = client.get(f"{path_of(slide)}/{resource}")
    assert answer.status_code == 200, answer.text
    assert client.get(f"{path_of(slide)}/frames/7/rendered").status_code == 404


def test_annotations_are_burned_in(client: httpx.Client) -> None:
    slide = native_slide(across=1, down=1, side=96)
    store(client, slide)
    png = {"accept": "image/png"}
    path = f"{path_of(slide)}/rendered"
    plain = np.asarray(picture(client.get(path, headers=png)))
    for value in ("patient", "technique", "patient%2Ctechnique"):
        burned = np.asarray(picture(client.get(f"{path}?annotation={value}", headers=png)))
        assert burned.shape == plain.shape
        assert (burned != plain).any()


def test_what_the_client_has_is_not_drawn_again(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    path = f"{path_of(slide)}/thumbnail"
    first = client.get(path)
    assert first.headers["cache-control"].startswith("private")
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"{path}?viewport=10,10", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200


def test_what_is_neither_image_nor_text_is_not_drawn(client: httpx.Client) -> None:
    dataset = study_attributes(SOPClassUID="1.2.840.10008.5.1.4.1.1.91.1", Modality="ANN")
    made = MadeFile(part10(dataset, EXPLICIT_LITTLE), dataset)
    store(client, made)
    for resource in ("rendered", "thumbnail"):
        answer = client.get(f"{path_of(made)}/{resource}")
        assert answer.status_code == 406
        assert answer.json()["type"] == "urn:coverslip:problem:cannot-render"


def test_other_media_types_are_406(client: httpx.Client) -> None:
    slide = jpeg_slide()
    store(client, slide)
    answer = client.get(f"{path_of(slide)}/rendered", headers={"accept": "image/webp"})
    assert answer.status_code == 406
    assert answer.json()["available"][:3] == ["image/jpeg", "image/png", "image/gif"]
