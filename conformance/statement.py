"""The conformance statement of our DICOMweb services (PS3.2, PS3.18 §10.4.5, §10.5.5, §10.6.5).

Made of the tables that the code itself goes by, so that it cannot say anything else; only what no
table knows (deviations, security) is written here.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom._uid_dict import UID_dictionary

from archive.model.attributes import INDEXED
from archive.model.reasons import FAILURES, WARNINGS
from archive.model.sop_classes import is_accepted, sop_class_name
from archive.model.transfer_syntaxes import EXPLICIT_LITTLE, TRANSFER_SYNTAXES, TransferSyntax
from archive.pixels import can_decode
from archive.settings import Settings
from archive.transcoding import LOSSLESS_TARGETS, LOSSY_TARGETS
from auth.permissions import ROLES
from conformance.claims import CLAIMS, Claim
from dicomweb.app import create_app
from dicomweb.capabilities import Resource, resources_of

PAGE = Path(__file__).with_name("STATEMENT.md")

_HEAD = """\
# DICOM conformance statement

<!-- Written by `coverslip statement --write` from the tables of the code; a test compares. -->

Coverslip is an archive for whole-slide microscopy and everything that belongs to its studies. It is
the **origin server** of the Studies Service (PS3.18 §10: Retrieve, Store, Search), of the URI
Service (§9) and of Retrieve Capabilities (§8.9). It plays no other role: no user agent, no DIMSE,
no media.

`coverslip check URL` tries all of this against a running server;
[docs/conformance.md](../docs/conformance.md) has the results, and those of another server.
"""

_DEVIATIONS = """\
## Extensions, choices and deviations

- **DELETE** on a study, series or instance is no part of PS3.18. It needs `studies:delete`.
- **No Accept header** is taken as `*/*` (RFC 9110 §12.5.1). PS3.18 §8.7.5 would have 406; scripts
  that send none would then be shut out, and nothing is gained.
- **DICOM and rendered media types in one Accept header** are weighed as alternatives like any
  other. PS3.18 §8.7.5 would have 400.
- **Frames in any order** are sent in the order of the request, though PS3.18 §10.1.1 has them
  ascend: wsidicom asks so.
- **`image/jpeg` without a transfer syntax** stands for what is stored, where that is JPEG of any
  kind; the default of Table 8.7.3-5 is the lossless process, which scanners do not write.
- **Anonymization** by the URI service (`anonymize`) is refused, as §9.4.2.3 allows.
- **Notifications** (§8.10), worklists (§11) and non-patient instances (§12) are not there.
- **Warnings**: nothing is coerced or discarded when it is stored; B000 and B006 are never given.

## Character sets

Answers are in UTF-8 (ISO_IR 192). Instances are read in the character sets of PS3.3 §C.12.1.1.2.

## Thumbnails

A thumbnail is 256 x 256 pixels at most, unless `viewport` asks for another size. A slide is shown
by one of its pictures, a series and a study by one of their instances. Nothing is written on it.
"""


def statement() -> str:
    """Give the whole statement as Markdown."""
    sections = (
        _HEAD,
        _claims(),
        _resources(),
        _transfer_syntaxes(),
        _sop_classes(),
        _keys(),
        _reasons(),
        _security(),
        _DEVIATIONS,
    )
    return "\n".join(sections)


def shown_by(claim: Claim) -> str:
    """Tell in words what shows a claim."""
    if not claim.checks:
        return f"tests marked `{claim.id}`"
    names = (one + "*" if one.endswith((".", "-")) else one for one in claim.checks)
    return "checks " + ", ".join(f"`{name}`" for name in names)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(columns)
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _claims() -> str:
    rows = ((one.sentence, one.cites, shown_by(one)) for one in CLAIMS)
    return "## What is claimed\n\n" + _table(("", "citation", "shown by"), rows)


def _resources() -> str:
    tree = resources_of(create_app(Settings()).router.routes)
    rows = [
        (
            f"`{path or '/'}`",
            method.name,
            "<br>".join(method.media_types),
            ", ".join(
                dict.fromkeys(f"`{one.name}`" for one in method.parameters if one.style == "query")
            ),
        )
        for path, resource in sorted(_walk(tree, ""), key=lambda found: found[0])
        for method in sorted(resource.methods, key=lambda method: method.name)
    ]
    columns = ("resource", "method", "media types", "query parameters")
    return "## Resources\n\nBelow the base URL.\n\n" + _table(columns, rows)


def _walk(resource: Resource, path: str) -> Iterator[tuple[str, Resource]]:
    yield path, resource
    for child in resource.children.values():
        yield from _walk(child, f"{path}/{child.path.strip('/')}")


def _transfer_syntaxes() -> str:
    rows = (
        (one.uid, one.name, "yes" if can_decode(one.uid) else "no", _sent(one))
        for one in TRANSFER_SYNTAXES
    )
    columns = ("UID", "transfer syntax", "decoded, rendered", "made for those who ask")
    return "## Transfer syntaxes\n\n" + _SYNTAXES + _table(columns, rows)


_SYNTAXES = """\
All of these are stored. Implicit VR and big endian are sent in Explicit VR Little Endian; every
other one also as it is stored. A lossy syntax is made for those alone who name it.

"""


def _sent(syntax: TransferSyntax) -> str:
    """Tell whether pixels that are stored in another syntax are sent in this one."""
    if syntax.uid in LOSSY_TARGETS:
        return "by name"
    return "yes" if syntax.uid in (EXPLICIT_LITTLE, *LOSSLESS_TARGETS) else "no"


def _sop_classes() -> str:
    known = [
        uid
        for uid, (_, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in sop_class_name(uid)
    ]
    kept = sum(map(is_accepted, known))
    return f"""\
## SOP classes

Every composite storage class that belongs to a patient is stored: {kept} of the data dictionary,
those that it does not have yet, and private ones. Refused with 0122 are media directories,
non-patient objects (PS3.4 Annex GG), and classes that are no storage.
"""


def _keys() -> str:
    rows = (
        (
            one.level,
            f"`{one.keyword}`",
            "".join(f"({tag[:4]},{tag[4:]})" for tag in one.path),
            one.vr,
            one.kind,
            "" if one.returned else "when asked for",
        )
        for one in INDEXED
    )
    return (
        "## Search keys\n\n"
        + _SEARCH
        + _table(("level", "key", "tag", "VR", "matching", "returned"), rows)
    )


_SEARCH = """\
Each key matches at its own level and at those below. Any other attribute of an instance is returned
when `includefield` names it; `includefield=all` returns them all. A site adds keys of its own with
`COVERSLIP_SEARCH_ATTRIBUTES`. Fuzzy matching compares the parts of names, in any order, without
case and diacritics.

"""


def _reasons() -> str:
    rows = [
        *((f"{one.code:04X}", one.meaning, "failure (0008,1197)") for one in FAILURES),
        *((f"{one.code:04X}", one.meaning, "warning (0008,1196)") for one in WARNINGS),
    ]
    return "## Reasons of the Store Instances Response\n\n" + _table(("code", "meaning", ""), rows)


def _security() -> str:
    rows = (
        (f"`{role}`", ", ".join(f"`{one}`" for one in sorted(permissions)))
        for role, permissions in ROLES.items()
    )
    return "## Security\n\n" + _TOKENS + _table(("role", "permissions"), rows)


_TOKENS = """\
Bearer tokens (RFC 6750) with roles; TLS by a proxy in front. Without tokens
(`COVERSLIP_AUTH=open`) this machine alone is answered.

"""
