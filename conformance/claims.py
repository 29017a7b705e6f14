"""What we claim, each with its citation and with what shows it.

A claim is shown by checks that anybody can run (`conformance.checks`), or by tests of ours marked
``@pytest.mark.claim("id")`` where the wire does not tell; what nothing shows fails the build.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of the conformance statement.

    Attributes
    ----------
    id
        Stable; what a test is marked with.
    cites
        The clause it rests on.
    sentence
        What is claimed.
    checks
        Beginnings of the ids of the checks that show it; empty where marked tests do.
    """

    id: str
    cites: str
    sentence: str
    checks: tuple[str, ...] = ()


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "negotiation",
        "PS3.18 §8.7",
        "Accept, the accept query parameter, q-values, wildcards and transfer-syntax parameters "
        "select the form of every answer; 406 where none is available.",
        ("negotiation.",),
    ),
    Claim(
        "store.files",
        "PS3.18 §10.5",
        "DICOM files are stored in multipart requests, each instance by itself; the response names "
        "every one that was stored or refused, and why.",
        ("store.",),
    ),
    Claim(
        "store.metadata",
        "PS3.18 §10.5.1.4",
        "Metadata in JSON or XML is stored with its bulk data, native or compressed.",
        ("store.json-", "store.xml-", "store.jpeg-as-bulk-data"),
    ),
    Claim(
        "store.unchanged",
        "PS3.18 §10.5.2",
        "What is stored is never coerced: it comes back bit for bit.",
        ("store.bit-for-bit",),
    ),
    Claim(
        "store.durable",
        "PS3.18 Table 10.5.3-1",
        "What was acknowledged survives a kill of the server at any moment.",
    ),
    Claim(
        "search",
        "PS3.18 §10.6",
        "Studies, series and instances are found at every path by every required key, with every "
        "type of matching, in pages of one stable order.",
        ("search.",),
    ),
    Claim(
        "retrieve",
        "PS3.18 §10.4.1.1.1",
        "Studies, series and instances are sent as files, in parts, single or zipped; never in "
        "implicit VR or big endian.",
        ("retrieve.",),
    ),
    Claim(
        "retrieve.frames",
        "PS3.18 §10.4.1.1.1, §8.7.3.3",
        "Frames of every layout are sent as they are stored: tiled fully or sparsely, in "
        "fragments, with any offset table, of one bit, in big endian.",
        ("frames.",),
    ),
    Claim(
        "retrieve.metadata",
        "PS3.18 §10.4.1.1.2, Annex F, PS3.19 §A.1",
        "Metadata is sent in DICOM JSON and in the Native DICOM Model, in UTF-8 from every "
        "character set of the standard.",
        ("metadata.",),
    ),
    Claim(
        "retrieve.bulk-data",
        "PS3.18 §10.4.1.1.5, §F.2.6",
        "Bulk data at any depth is sent from the URI that the metadata names, with ranges.",
        ("bulk-data.",),
    ),
    Claim(
        "retrieve.rendered",
        "PS3.18 §10.4.1.1.3, §8.3.5",
        "Studies, series, instances, frames and reports are rendered, with every parameter.",
        ("rendered.",),
    ),
    Claim(
        "retrieve.thumbnails",
        "PS3.18 §10.4.1.1.4",
        "Every level has a thumbnail, without anything that identifies the patient.",
        ("thumbnails.",),
    ),
    Claim(
        "retrieve.transcoding",
        "PS3.18 §8.7.3",
        "Lossless syntaxes are decoded when none is named, and encoded into those that are; "
        "nothing is lost unless a lossy syntax is named.",
        ("transcoding.",),
    ),
    Claim(
        "capabilities",
        "PS3.18 §8.9",
        "The service describes itself in WADL and JSON.",
        ("capabilities.",),
    ),
    Claim(
        "wado-uri",
        "PS3.18 §9",
        "Single instances are sent by the URI service, as files or rendered.",
        ("wado-uri.",),
    ),
    Claim(
        "delete",
        "none: an extension",
        "Studies, series and instances are deleted by DELETE, and gone at once.",
        ("delete-(extension).",),
    ),
    Claim(
        "http",
        "RFC 9110, RFC 9112",
        "HEAD, OPTIONS, conditions, ranges, compression and other origins are served as HTTP says.",
        ("http.",),
    ),
    Claim(
        "robust",
        "RFC 9110 §15.5",
        "Bad input is answered as the client's fault, keeps nothing and stops nobody.",
        ("robustness.",),
    ),
    Claim(
        "access",
        "PS3.15 §C.1",
        "Every route states the permission that it asks for; what may not be seen does not exist.",
    ),
    Claim(
        "fixity",
        "PS3.10 §7",
        "Every stored file can be verified by its hash, and the catalog made again from the files.",
    ),
    Claim(
        "clients.dicomweb-client", "dicomweb-client for Python", "Every one of its methods works."
    ),
    Claim("clients.dcmjs", "dicomweb-client of dcmjs", "Its methods work, from another origin."),
    Claim("clients.wsidicom", "wsidicom", "Its web client reads slides as it reads their files."),
    Claim("clients.ez-wsi", "EZ-WSI DICOMweb", "It reads levels, frames, patches and profiles."),
    Claim("clients.ohif", "OHIF 3.13", "Its microscopy mode finds and draws slides."),
)

BY_ID = {claim.id: claim for claim in CLAIMS}
