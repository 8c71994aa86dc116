"""Passwords from MSS-Login and Usgromana: they go on, and give nothing away about who has one."""

from collections.abc import Callable
from statistics import median
from time import thread_time

import bcrypt
import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import check_password
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.importedpasswords import MAX_COST, cost_of, encoded, sanitized, spellings
from accounts.models import User
from tests.passwords import hashed

CHEAP = 4
PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)


def former_hash(text: str, cost: int = CHEAP) -> str:
    return bcrypt.hashpw(text.encode()[:72], bcrypt.gensalt(cost)).decode()


def stored(text: str, cost: int = CHEAP) -> str:
    found = encoded(former_hash(text, cost))
    assert found is not None
    return found


# Made by running Sanitizer.sanitize_input of DayMan84/ComfyUI-Usgromana 16b4d14 (1.8.1).
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Plain7!word", "Plain7!word"),
        ("dash-Word1!", "dash\\-Word1!"),
        ("a&b<c>d\"e'f1!", "aamp\\blt\\cgt\\dquot\\e#x27\\f1!"),
        ("semi;tick`pipe|9", "semi\\tick\\pipe9"),
        ("(x)=1!", "\\(x\\)\\=1!"),
        ("javaScript:alert1!", "alert1!"),
        ("data:image/png;1!", "/png\\1!"),
        (" spaced 1! ", "spaced 1!"),
        ("e\u0301clair-1!", "\u00e9clair\\-1!"),
    ],
)
def test_user_whose_password_was_sanitized_logs_in_with_what_they_type(
    typed: str, kept: str
) -> None:
    assert sanitized(typed) == kept
    assert check_password(typed, stored(kept))
    assert not check_password(typed + "x", stored(kept))


@settings(max_examples=40, deadline=None)
@given(PRINTABLE, st.booleans(), PRINTABLE)
def test_user_logs_in_with_their_own_password_only(typed: str, raw: bool, other: str) -> None:
    """Whether the release that hashed it sanitized it or not."""
    kept = stored(typed if raw else sanitized(typed))
    assert check_password(typed, kept)
    # What the sanitizer made one of two, it made one there too; bcrypt cuts off after 72 bytes.
    alike = {text.encode()[:72] for text in spellings(other)} & {
        text.encode()[:72] for text in spellings(typed)
    }
    if not alike:
        assert not check_password(other, kept)


def test_user_with_a_very_long_password_logs_in_as_before() -> None:
    long = "long-Enough-1!" * 10
    assert check_password(long, stored(sanitized(long)))
    assert check_password(long + "more", stored(sanitized(long)))
    assert not check_password("x" + long, stored(sanitized(long)))


FORGED: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "a number": lambda: 7,
    "empty": lambda: "",
    "text": lambda: "plain text",
    "argon2": lambda: "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b7dWRWJTmaaJObG",
    "one sign more": lambda: former_hash("x") + "\n",
    "one sign less": lambda: former_hash("x")[:-1],
    "too cheap": lambda: former_hash("x").replace("$04$", "$03$"),
    "too dear": lambda: former_hash("x").replace("$04$", f"${MAX_COST + 1}$"),
    "for ever": lambda: former_hash("x").replace("$04$", "$31$"),
    "another kind": lambda: former_hash("x").replace("$2b$", "$2x$"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_hash_is_not_taken(kind: str) -> None:
    assert encoded(FORGED[kind]()) is None


@settings(max_examples=25)
@given(st.text(max_size=80))
def test_any_other_text_is_no_imported_password(text: str) -> None:
    assert encoded(text) is None
    assert cost_of(text) is None


def test_a_surrogate_is_a_wrong_password_and_no_error() -> None:
    assert not check_password("\ud800", stored("x"))


# --- who is there ---------------------------------------------------------------------------


def make(username: str, password: str, **fields: object) -> User:
    return User.objects.create(username=username, role_id="user", password=password, **fields)


@pytest.mark.django_db
def test_first_login_stores_argon2_and_the_second_needs_nothing_else() -> None:
    user = make("ida", stored("Old-Word1!"))
    assert authenticate(None, username="IDA", password="wrong") is None
    user.refresh_from_db()
    assert cost_of(user.password) == CHEAP
    assert authenticate(None, username="ida", password="Old-Word1!") == user
    user.refresh_from_db()
    assert user.password.startswith("argon2$")
    assert authenticate(None, username="ida", password="Old-Word1!") == user
    assert authenticate(None, username="ida", password=sanitized("Old-Word1!")) is None


@pytest.mark.django_db
def test_disabled_user_is_refused_and_keeps_the_hash() -> None:
    user = make("dora", stored("Old-Word1!"), is_active=False)
    assert authenticate(None, username="dora", password="Old-Word1!") is None
    user.refresh_from_db()
    assert cost_of(user.password) == CHEAP


@pytest.mark.django_db
def test_attacker_measures_no_difference_between_imported_other_and_unknown_names() -> None:
    right = "right-Word1!"
    # Costs that differ: a check against the cheaper hash is made as long as one against the other.
    make("imported", stored(right, 8))
    make("cheaper", stored(right, 5))
    make("modern", hashed(right))
    make("disabled", stored(right, 8), is_active=False)
    make("without", hashed(None))
    attempts: dict[str, Callable[[], object]] = {
        name: lambda name=name: authenticate(None, username=name, password="wrong-Word1!")  # type: ignore[misc]
        for name in ("imported", "cheaper", "modern", "disabled", "without", "unknown")
    }
    attempts["disabled, right password"] = lambda: authenticate(
        None, username="disabled", password=right
    )
    times: dict[str, list[float]] = {name: [] for name in attempts}
    for _ in range(5):
        for name, attempt in attempts.items():
            # Of the processor: what else runs on the machine is not measured.
            began = thread_time()
            assert attempt() is None
            times[name].append(thread_time() - began)
    took = {name: median(found) for name, found in times.items()}
    # Two bcrypt hashes of cost 8 are most of it; without them it would be a tenth.
    assert max(took.values()) < 1.8 * min(took.values()), took


@pytest.mark.django_db
def test_nobody_waits_for_bcrypt_once_no_imported_hash_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unwanted(*arguments: object) -> bytes:
        raise AssertionError("bcrypt was asked")

    make("modern", hashed("right-Word1!"))
    monkeypatch.setattr(bcrypt, "hashpw", unwanted)
    assert authenticate(None, username="modern", password="wrong") is None
    assert authenticate(None, username="unknown", password="wrong") is None
