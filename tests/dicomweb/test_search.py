from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from dicomweb import native_model
from tests.support.dicom_files import MadeFile, encapsulated_element, jpeg_slide, part10
from tests.support.http import parts_of, path_of, store

if TYPE_CHECKING:
    import httpx

    from tests.support.http import LiveServer

MATCHED = 200


@pytest.fixture
def case(client: httpx.Client) -> tuple[str, list[MadeFile]]:
    """A patient of their own with two slides of one study."""
    patient = f"P-{uuid4().hex[:12]}"
    first = jpeg_slide(PatientID=patient, AccessionNumber=f"A{patient}"[:16])
    study = first.dataset.StudyInstanceUID
    second = jpeg_slide(
        PatientID=patient,
        AccessionNumber=f"A{patient}"[:16],
        StudyInstanceUID=study,
        ContainerIdentifier=f"C-{patient}",
        InstanceNumber=2,
    )
    assert store(client, first, second).status_code == 200
    return patient, [first, second]


def rows(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(f"/dicomweb{path}", headers={"accept": "application/dicom+json"})
    if answer.status_code == 204:
        assert answer.content == b""
        return []
    assert answer.status_code == MATCHED, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    found: list[dict[str, Any]] = answer.json()
    return found


def test_every_path_of_the_search_transaction_answers(
    client: httpx.Client, case: tuple[str, list[MadeFile]], live: LiveServer
) -> None:
    patient, slides = case
    one = slides[0].dataset
    study, series = one.StudyInstanceUID, one.SeriesInstanceUID
    by_patient = f"PatientID={patient}"
    assert len(rows(client, f"/studies?{by_patient}")) == 1
    assert len(rows(client, f"/series?{by_patient}")) == 2
    assert len(rows(client, f"/instances?{by_patient}")) == 2
    assert len(rows(client, f"/studies/{study}/series")) == 2
    assert len(rows(client, f"/studies/{study}/instances")) == 2
    (row,) = rows(client, f"/studies/{study}/series/{series}/instances")
    assert row["00080018"]["Value"] == [one.SOPInstanceUID]
    assert row["00081190"]["Value"] == [live.url + path_of(slides[0])]
    assert list(row) == sorted(row)


def test_slim_and_ohif_find_what_they_draw(
    client: httpx.Client, case: tuple[str, list[MadeFile]]
) -> None:
    patient, slides = case
    study = slides[0].dataset.StudyInstanceUID
    (row,) = rows(client, f"/studies?ModalitiesInStudy=SM&fuzzymatching=true&PatientID={patient}")
    assert row["00080061"]["Value"] == ["SM"]
    assert row["00201206"]["Value"] == [2]
    assert row["00201208"]["Value"] == [2]
    assert len(rows(client, f"/series?Modality=SM&StudyInstanceUID={study}")) == 2
    assert rows(client, f"/studies/{study}/instances?Modality=SR") == []
    fields = "00081030%2C00080060%2C00080090%2C00100030"
    ohif = f"/studies?limit=101&offset=0&fuzzymatching=false&includefield={fields}"
    assert len(rows(client, f"{ohif}&StudyInstanceUID={study}")) == 1
    fields = "00080021,00080031,0008103E,00200011"
    assert len(rows(client, f"/studies/{study}/series?includefield={fields}")) == 2


def test_wsidicom_finds_instances_with_their_transfer_syntax(
    client: httpx.Client, case: tuple[str, list[MadeFile]]
) -> None:
    _, slides = case
    data = slides[0].dataset
    found = rows(
        client,
        f"/studies/{data.StudyInstanceUID}/instances?00080016={data.SOPClassUID}&00080060=SM"
        f"&0020000E={data.SeriesInstanceUID}&0020000E=1.2.3"
        "&includefield=AvailableTransferSyntaxUID",
    )
    assert len(found) == 1
    assert found[0]["0020000E"]["Value"] == [data.SeriesInstanceUID]
    assert "1.2.840.10008.1.2.4.50" in found[0]["00083002"]["Value"]


def test_pages_follow_each_other_and_the_rest_is_counted(
    client: httpx.Client, case: tuple[str, list[MadeFile]]
) -> None:
    patient, slides = case
    path = f"/dicomweb/instances?PatientID={patient}&limit=1"
    first = client.get(path)
    assert "There are 1 additional results that can be requested" in first.headers["warning"]
    assert first.headers["warning"].startswith("299 ")
    second = client.get(f"{path}&offset=1")
    assert "warning" not in second.headers
    uids = {one.json()[0]["00080018"]["Value"][0] for one in (first, second)}
    assert uids == {slide.uid for slide in slides}
    beyond = client.get(f"{path}&offset=2")
    assert beyond.status_code == 204


@pytest.mark.parametrize(
    "query", ["limit=-1", "offset=-1", "PatientID=%00", "PatientID=%5C", "StudyDate=x"]
)
def test_bad_queries_are_400(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/dicomweb/studies?{query}")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:coverslip:problem:malformed-query"


def test_parameters_that_are_not_supported_are_named_and_nothing_else_of_them(
    client: httpx.Client, case: tuple[str, list[MadeFile]]
) -> None:
    patient, _ = case
    answer = client.get(
        f"/dicomweb/studies?PatientID={patient}&Some%0D%0AX-Evil:%201=JaneDoe&Other=1"
    )
    assert answer.status_code == MATCHED
    assert "Other" in answer.headers["warning"]
    assert "JaneDoe" not in answer.headers["warning"]
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize("value", ["%25", "_", "%25%25", "P%25", "P_%25", "'", "%22"])
def test_characters_of_the_database_match_only_themselves(
    client: httpx.Client, case: tuple[str, list[MadeFile]], value: str
) -> None:
    del case
    assert rows(client, f"/studies?PatientID={value}&AccessionNumber=A*") == []


def test_search_answers_only_what_is_acceptable(client: httpx.Client) -> None:
    refused = client.get("/dicomweb/studies", headers={"accept": "application/dicom"})
    assert refused.status_code == 406
    available = refused.json()["available"]
    assert available[:2] == ["application/dicom+json", "application/json"]


def test_matches_come_as_xml_one_part_each(
    client: httpx.Client, case: tuple[str, list[MadeFile]], live: LiveServer
) -> None:
    patient, slides = case
    accept = {"accept": 'multipart/related; type="application/dicom+xml"'}
    answer = client.get(f"/dicomweb/instances?PatientID={patient}", headers=accept)
    assert answer.status_code == MATCHED
    parts = parts_of(answer)
    assert [kind for kind, _ in parts] == ["application/dicom+xml"] * 2
    told = [native_model.from_xml(document) for _, document in parts]
    assert {row["00080018"]["Value"][0] for row in told} == {slide.uid for slide in slides}
    assert {row["00081190"]["Value"][0] for row in told} == {
        live.url + path_of(slide) for slide in slides
    }
    asked = rows(client, f"/instances?PatientID={patient}")
    assert sorted(map(sorted, told)) == sorted(map(sorted, asked))
    assert client.get("/dicomweb/studies?PatientID=nobody", headers=accept).status_code == 204


def test_the_warning_says_what_fuzzy_means_and_how_many_rows_there_are_at_most(
    client: httpx.Client, case: tuple[str, list[MadeFile]]
) -> None:
    patient, slides = case
    family = str(slides[0].dataset.PatientName).split("^")[0]
    path = f"/dicomweb/studies?PatientID={patient}&fuzzymatching=true"
    assert "warning" not in client.get(path).headers
    fuzzy = client.get(f"{path}&PatientName={family[:2].upper()}")
    assert fuzzy.status_code == MATCHED
    assert "not phonetic" in fuzzy.headers["warning"]
    beyond = client.get(f"/dicomweb/instances?PatientID={patient}&limit=1&offset=0")
    assert "given at once" not in beyond.headers["warning"]


def test_empty_value_matching_finds_what_has_no_value(client: httpx.Client) -> None:
    patient = f"P-{uuid4().hex[:12]}"
    bare = jpeg_slide(PatientID=patient, StudyID="")
    assert store(client, bare, jpeg_slide(PatientID=patient, StudyID="x")).status_code == MATCHED
    query = f"/studies?PatientID={patient}&StudyID=%22%22"
    (row,) = rows(client, f"{query}&emptyvaluematching=true")
    assert row["0020000D"]["Value"] == [bare.dataset.StudyInstanceUID]
    assert rows(client, query) == []


def test_private_attributes_are_found_by_their_creator_in_whichever_block(
    client: httpx.Client,
) -> None:
    slide = jpeg_slide()
    slide.dataset.private_block(0x0009, "OTHER", create=True).add_new(0x01, "LO", "theirs")
    slide.dataset.private_block(0x0009, "ACME", create=True).add_new(0x01, "LO", "ours")
    element = encapsulated_element([[frame] for frame in slide.frames])
    made = MadeFile(part10(slide.dataset, "1.2.840.10008.1.2.4.50", element), slide.dataset)
    assert store(client, made).status_code == MATCHED
    path = f"/instances?SOPInstanceUID={made.uid}&includefield=00091001"
    (row,) = rows(client, f"{path}&00090010=ACME")
    assert row["00090011"]["Value"] == ["ACME"]
    assert row["00091101"]["Value"] == ["ours"]
    (row,) = rows(client, path)
    assert row["00090010"]["Value"] == ["OTHER"]
    assert row["00091001"]["Value"] == ["theirs"]
    (row,) = rows(client, f"{path}&00090010=NOBODY")
    assert not [tag for tag in row if tag.startswith("0009")]


def test_long_answers_are_compressed_for_who_takes_it(
    client: httpx.Client, case: tuple[str, list[MadeFile]]
) -> None:
    patient, _ = case
    path = f"/dicomweb/instances?PatientID={patient}&includefield=all"
    packed = client.get(path, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert "Accept-Encoding" in plain.headers["vary"]
    assert len(gzip.compress(plain.content)) < len(plain.content)


def test_bulk_data_in_a_row_is_addressed_absolutely(client: httpx.Client, live: LiveServer) -> None:
    slide = jpeg_slide()
    slide.dataset.OpticalPathSequence[0].ICCProfile = bytes(range(256)) * 10
    element = encapsulated_element([[frame] for frame in slide.frames])
    made = MadeFile(part10(slide.dataset, "1.2.840.10008.1.2.4.50", element), slide.dataset)
    assert store(client, made).status_code == MATCHED
    (row,) = rows(client, f"/instances?SOPInstanceUID={made.uid}&includefield=OpticalPathSequence")
    uri = row["00480105"]["Value"][0]["00282000"]["BulkDataURI"]
    assert uri.startswith(live.url + path_of(made))
    assert client.get(uri).content == bytes(range(256)) * 10


def test_a_study_of_the_path_that_is_no_uid_is_400(client: httpx.Client) -> None:
    assert client.get("/dicomweb/studies/abc/series").status_code == 400
