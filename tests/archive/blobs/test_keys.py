from __future__ import annotations

import hashlib

import pytest

from archive.blobs import is_key, new_key, sha256_of_key
from archive.model.instances import BlobKey

SHA256 = hashlib.sha256(b"content").hexdigest()


def test_a_key_carries_the_hash_of_its_content() -> None:
    assert sha256_of_key(new_key(SHA256)) == SHA256


def test_two_keys_for_the_same_content_differ() -> None:
    assert new_key(SHA256) != new_key(SHA256)


def test_keys_are_spread_by_their_first_two_digits() -> None:
    key = new_key(SHA256)
    assert key[:2] == key[3:5]
    assert key[2] == "/"


@pytest.mark.parametrize("sha256", ["", "abc", SHA256.upper(), SHA256 + "0", SHA256[:-1] + "/"])
def test_what_is_no_hash_makes_no_key(sha256: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal"):
        new_key(sha256)


def test_a_key_whose_folder_is_another_ones_is_refused() -> None:
    key = new_key(SHA256)
    other = ("00" if key[:2] != "00" else "11") + key[2:]
    assert not is_key(other)
    with pytest.raises(ValueError, match="not the key"):
        sha256_of_key(BlobKey(other))
