"""Secrets at rest: read back under the current key or a former one, and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from accounts import crypto

OLD, NEW, OTHER = ("o" * 40, "n" * 40, "x" * 40)


@pytest.fixture(autouse=True)
def keys(settings: Settings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, []


def under(settings: Settings, key: str, text: str) -> str:
    settings.SECRET_KEY, current = key, settings.SECRET_KEY
    value = crypto.encrypt(text)
    settings.SECRET_KEY = current
    return value


@given(st.text())
def test_what_was_encrypted_is_read_back(text: str) -> None:
    value = crypto.encrypt(text)
    assert crypto.decrypt(value) == text
    assert value.startswith("v1:") and value.isascii()


def test_the_value_tells_nothing_and_is_never_the_same() -> None:
    values = {crypto.encrypt("31323334") for _ in range(5)}
    assert len(values) == 5
    assert not any("31323334" in value or NEW in value for value in values)


@pytest.mark.parametrize("place", [0, 3, 10, 40, -20, -2])
def test_an_altered_value_is_refused(place: int) -> None:
    value = crypto.encrypt("secret")
    letter = value[place]
    altered = list(value)
    altered[place] = "A" if letter != "A" else "B"
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt("".join(altered))


@pytest.mark.parametrize(
    "value", ["", "v1", "v1:", "secret", "v2:secret", "V1:x", "v1:not base64 …", ":", "v1:é"]
)
def test_what_is_no_value_is_refused(value: str) -> None:
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt(value)


def test_a_version_of_tomorrow_is_refused_even_if_the_rest_is_right() -> None:
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt(crypto.encrypt("secret").replace("v1:", "v2:"))


def test_a_former_key_reads_only_while_it_is_named(settings: Settings) -> None:
    value = under(settings, OLD, "secret")
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt(value)
    settings.SECRET_KEY_FALLBACKS = [OTHER, OLD]
    assert crypto.decrypt(value) == "secret"
    settings.SECRET_KEY_FALLBACKS = [OTHER]
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt(value)


def test_new_values_are_under_the_current_key_not_a_former_one(settings: Settings) -> None:
    settings.SECRET_KEY_FALLBACKS = [OLD]
    value = crypto.encrypt("secret")
    settings.SECRET_KEY_FALLBACKS = []
    assert crypto.decrypt(value) == "secret"


def test_rotation_makes_the_former_key_superfluous(settings: Settings) -> None:
    value = under(settings, OLD, "secret")
    settings.SECRET_KEY_FALLBACKS = [OLD]
    rotated = crypto.rotated(value)
    settings.SECRET_KEY_FALLBACKS = []
    assert crypto.decrypt(rotated) == "secret"
    with pytest.raises(crypto.DecryptionError):
        crypto.rotated(value)
