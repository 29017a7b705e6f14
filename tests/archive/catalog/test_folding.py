from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.catalog.folding import END, START, fold_name, tokens_of_pattern, tokens_of_value

TEXTS = st.text(st.characters(exclude_characters="*?\0\x02\x03"), max_size=40)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("Müller^Jörg", "=muller^jorg="),
        ("MULLER^JORG^^^", "=muller^jorg="),
        ("Łukasz^Ærø", "=lukasz^aero="),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "=yamada^tarou=山田^太郎=やまた^たろう="),
        ("Nguyễn^Ánh", "=nguyen^anh="),
        ("STRASSE", "=strasse="),
        ("straße", "=strasse="),
        ("=^=", ""),
        ("", ""),
    ],
)
def test_names_fold_by_group(name: str, folded: str) -> None:
    assert fold_name(name) == folded


@given(TEXTS, TEXTS, TEXTS)
def test_a_value_has_every_token_of_a_pattern_that_matches_it(
    before: str, middle: str, after: str
) -> None:
    value = before + middle + after
    tokens = tokens_of_value("column", value)
    for pattern in (f"*{middle}*", f"{before}*{after}", f"*{after}", value, f"{before}*"):
        pieces = re.split(r"[*?]", f"{START}{pattern}{END}")
        assert tokens_of_pattern("column", pieces) <= tokens


def test_tokens_fit_the_column_and_differ_by_attribute() -> None:
    tokens = tokens_of_value("patient_id", "ABCDEFGH")
    assert all(-(2**31) <= token < 2**31 for token in tokens)
    assert tokens.isdisjoint(tokens_of_value("accession_number", "ABCDEFGH"))
