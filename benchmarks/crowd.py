"""A catalog of many million instances, made by COPY and without a file behind any of them.

Studies and series are written with the tokens that storing them would make; instances are made
inside the database. Eight instances make a series, four series a study: a case of four slides. The
rows are what a case of pathology has, but for the instances' attributes, which are kept short: a
search reads those of one page alone.
"""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from archive.catalog.folding import fold_name, tokens_of_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

INSTANCES_IN_SERIES = 8
SERIES_IN_STUDY = 4
_IN_STUDY = INSTANCES_IN_SERIES * SERIES_IN_STUDY

FIRST_DAY = date(2016, 1, 1)
DAYS = 3650
_SYLLABLES = [
    "an", "ber", "cor", "del", "em", "fis", "gar", "hol", "in", "jor", "kel", "lan", "mor",
    "nel", "os", "pet", "qua", "ros", "sel", "tor", "un", "ver", "wal", "xan", "yor", "zim",
]  # fmt: skip
_GIVEN = [
    "Ana", "Ben", "Cora", "Dan", "Eva", "Finn", "Gita", "Hans", "Iris", "Jan", "Kim", "Lena",
    "Max", "Nora", "Olaf", "Pia", "Rui", "Sara",
]  # fmt: skip
STAINS = ("hematoxylin stain", "Ki-67", "HER2", "CD3", "CD20", "PAS", "Congo red", "Giemsa")
_STAIN_WEIGHTS = (60.0, 12.0, 9.0, 8.0, 6.0, 4.0, 0.9, 0.1)

_STUDY_COLUMNS = (
    "id, study_uid, study_date, study_time, accession_number, referring_physician_name, "
    "referring_physician_name_folded, study_description, patient_name, patient_name_folded, "
    "patient_id, patient_birth_date, patient_sex, study_id, tokens, attributes, created_at"
)
_SERIES_COLUMNS = (
    "id, study_id, series_uid, modality, series_description, manufacturer, "
    "container_identifier, specimen_identifiers, specimen_uids, preparation_texts, "
    "preparation_code_values, preparation_code_meanings, series_number, tokens, attributes, "
    "created_at"
)
_MADE = "2026-11-01T00:00:00Z"


def fill(connection: psycopg.Connection[Any], instances: int) -> None:
    """Fill an empty catalog, then gather statistics as a running server would."""
    studies = -(-instances // _IN_STUDY)
    connection.autocommit = True
    # Throw-away data: the disk need not be waited for.
    for setting in ("fsync = off", "max_wal_size = '4GB'"):
        connection.execute(f"ALTER SYSTEM SET {setting}")
    connection.execute("SELECT pg_reload_conf()")
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # what is referred to is there
        cursor.execute("SET maintenance_work_mem = '512MB'")
        indexes = cursor.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        for table, columns, rows in (
            ("studies", _STUDY_COLUMNS, _studies(studies)),
            ("series", _SERIES_COLUMNS, _series(studies)),
        ):
            statement = f"COPY {table} ({columns}) FROM STDIN"
            with cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        cursor.execute(_INSTANCES, {"studies": studies})
        for _, definition in indexes:
            cursor.execute(definition)
        for table in ("studies", "series", "instances"):  # so that more can be stored behind them
            last = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608
            cursor.execute(last)
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM (ANALYZE) studies, series, instances")


_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
WHERE relname IN ('studies', 'series', 'instances') AND NOT indisunique
"""
_INSTANCES = """
INSERT INTO instances (id, series_id, study_id, instance_uid, sop_class_uid, image_type,
    instance_number, number_of_frames, rows, columns, bits_allocated, total_pixel_matrix_columns,
    total_pixel_matrix_rows, dimension_organization_type, optical_path_identifiers, attributes,
    transfer_syntax_uid, blob_key, size, sha256, origin, stored_at)
OVERRIDING SYSTEM VALUE
SELECT (series.id - 1) * 8 + level, series.id, series.study_id,
    '2.25.3' || lpad(((series.id - 1) * 8 + level)::text, 12, '0'),
    '1.2.840.10008.5.1.4.1.1.77.1.6', '{ORIGINAL,PRIMARY,VOLUME,NONE}',
    level, 20000 >> level, 256, 256, 8, 80000 >> level, 60000 >> level, 'TILED_FULL', '{1}',
    jsonb_build_object('00080018', jsonb_build_object('vr', 'UI', 'Value', jsonb_build_array(
        '2.25.3' || lpad(((series.id - 1) * 8 + level)::text, 12, '0'))),
        '00080016', '{"vr":"UI","Value":["1.2.840.10008.5.1.4.1.1.77.1.6"]}'::jsonb,
        '00080008', '{"vr":"CS","Value":["ORIGINAL","PRIMARY","VOLUME","NONE"]}'::jsonb,
        '00280008', jsonb_build_object('vr', 'IS', 'Value', jsonb_build_array(20000 >> level)),
        '00280010', '{"vr":"US","Value":[256]}'::jsonb,
        '00280011', '{"vr":"US","Value":[256]}'::jsonb),
    '1.2.840.10008.1.2.4.50', lpad(series.id::text, 12, '0') || '-' || level, 1000000,
    repeat('0', 64), 'stow', '2026-11-01'
FROM series, generate_series(1, 8) AS level
WHERE series.study_id <= %(studies)s
ORDER BY series.id, level
"""


def patient_id(number: int) -> str:
    """Give the ID of the patient of study `number`; two studies in a row are of one patient."""
    return f"P{number // 2 * 7919 % 10_000_000:07d}"


def accession(number: int) -> str:
    """Give the accession number of a study."""
    return f"S{number // 31_250 + 16:02d}-{number:07d}"


def container(number: int, slide: int) -> str:
    """Give the identifier of a slide of a study."""
    return f"{accession(number)}-{'ABCD'[slide]}{number % 9 + 1}"


def surname(number: int) -> str:
    """Give the family name of the patient of a study, out of some seventeen thousand."""
    chosen = random.Random(number // 2)  # noqa: S311 - names need not be secret
    return "".join(chosen.choice(_SYLLABLES) for _ in range(3)).capitalize()


def day(number: int, studies: int) -> str:
    """Give the date of a study; they come in one after the other, with some days of disorder."""
    days = number * DAYS // studies + number * 7919 % 14
    return (FIRST_DAY + timedelta(days=days)).strftime("%Y%m%d")


def _studies(studies: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, studies + 1):
        name = f"{surname(number)}^{_GIVEN[number // 2 % len(_GIVEN)]}"
        physician = f"{_SYLLABLES[number % 26].capitalize()}^House"
        told = {
            "accession_number": accession(number),
            "study_description": "Histopathology",
            "patient_id": patient_id(number),
            "patient_sex": "FM"[number % 2],
            "study_id": str(number),
        }
        date_ = "" if number % 500 == 0 else day(number, studies)
        time = f"{number % 10 + 8:02d}{number % 60:02d}00.000000"
        tokens = _tokens(told)
        for attribute, text in (("patient_name", name), ("referring_physician_name", physician)):
            tokens |= tokens_of_value(attribute, fold_name(text).strip("="))
        yield (
            number,
            f"2.25.1{number:012d}",
            date_ or None,
            time,
            told["accession_number"],
            physician,
            fold_name(physician),
            told["study_description"],
            name,
            fold_name(name),
            told["patient_id"],
            "19500101",
            told["patient_sex"],
            told["study_id"],
            sorted(tokens),
            _json(
                {
                    "00080020": ("DA", date_),
                    "00080030": ("TM", time),
                    "00080050": ("SH", told["accession_number"]),
                    "00081030": ("LO", told["study_description"]),
                    "00100010": ("PN", {"Alphabetic": name}),
                    "00100020": ("LO", told["patient_id"]),
                    "00100030": ("DA", "19500101"),
                    "00100040": ("CS", told["patient_sex"]),
                    "00200010": ("SH", told["study_id"]),
                }
            ),
            _MADE,
        )


def _series(studies: int) -> Iterator[tuple[Any, ...]]:
    chosen = random.Random(1)  # noqa: S311
    for number in range(1, studies + 1):
        for slide in range(SERIES_IN_STUDY):
            identity = (number - 1) * SERIES_IN_STUDY + slide + 1
            stain = chosen.choices(STAINS, _STAIN_WEIGHTS)[0]
            # Now and then a study ends in a report or a segmentation instead of a slide.
            other = slide == SERIES_IN_STUDY - 1 and number % 25 == 0
            modality = ("SR" if number % 50 else "SEG") if other else "SM"
            block = f"Block {'ABCD'[slide]}{number % 9 + 1}"
            told = {
                "modality": modality,
                "series_description": "Slide",
                "manufacturer": "Coverslip benchmark",
                "container_identifier": container(number, slide),
            }
            code = str(10_000 + STAINS.index(stain))
            many = {
                "specimen_identifiers": [f"{container(number, slide)}.1"],
                "preparation_texts": [block],
                "preparation_code_values": [code],
                "preparation_code_meanings": [stain],
            }
            yield (
                identity,
                number,
                f"2.25.2{identity:012d}",
                modality,
                told["series_description"],
                told["manufacturer"],
                told["container_identifier"],
                many["specimen_identifiers"],
                [f"2.25.4{identity:012d}"],
                many["preparation_texts"],
                many["preparation_code_values"],
                many["preparation_code_meanings"],
                slide + 1,
                sorted(_tokens(told, many)),
                _slide(identity, modality, told["container_identifier"], block, code, stain),
                _MADE,
            )


def _slide(
    identity: int, modality: str, container_identifier: str, block: str, code: str, stain: str
) -> str:
    item = {
        "00400551": {"vr": "LO", "Value": [f"{container_identifier}.1"]},
        "00400554": {"vr": "UI", "Value": [f"2.25.4{identity:012d}"]},
        "00400610": {
            "vr": "SQ",
            "Value": [
                {
                    "00400612": {
                        "vr": "SQ",
                        "Value": [
                            {"0040A160": {"vr": "UT", "Value": [block]}},
                            {
                                "0040A168": {
                                    "vr": "SQ",
                                    "Value": [
                                        {
                                            "00080100": {"vr": "SH", "Value": [code]},
                                            "00080102": {"vr": "SH", "Value": ["SCT"]},
                                            "00080104": {"vr": "LO", "Value": [stain]},
                                        }
                                    ],
                                }
                            },
                        ],
                    }
                }
            ],
        },
    }
    return _json(
        {
            "00080060": ("CS", modality),
            "0008103E": ("LO", "Slide"),
            "00080070": ("LO", "Coverslip benchmark"),
            "0020000E": ("UI", f"2.25.2{identity:012d}"),
            "00200011": ("IS", 1),
            "00400512": ("LO", container_identifier),
            "00400560": ("SQ", item),
        }
    )


def _tokens(told: dict[str, str], many: dict[str, list[str]] | None = None) -> set[int]:
    found: set[int] = set()
    pairs = [*told.items(), *((n, text) for n, texts in (many or {}).items() for text in texts)]
    for name, text in pairs:
        found |= _tokens_of(name, text)
    return found


@cache
def _tokens_seen(name: str, text: str) -> frozenset[int]:
    return frozenset(tokens_of_value(name, text))


def _tokens_of(name: str, text: str) -> set[int] | frozenset[int]:
    unique = {"accession_number", "patient_id", "study_id", "container_identifier"}
    if name in unique or name == "specimen_identifiers":
        return tokens_of_value(name, text)
    return _tokens_seen(name, text)


def _json(values: dict[str, tuple[str, Any]]) -> str:
    return json.dumps(
        {
            tag: {"vr": vr, "Value": [value]} if value != "" else {"vr": vr}
            for tag, (vr, value) in values.items()
        }
    )
