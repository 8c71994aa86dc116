"""logging: no token survives a line, and a line stays one line."""

import base64
import json
import logging
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import requestnotes
from accounts.requestnotes import RequestNotes
from mssproject.logging import GatewayFormatter, GatewayJsonFormatter, config, scrub

URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
api_tokens = st.text(URL_SAFE, min_size=43, max_size=43).map("mss_".__add__)
segments = st.text(URL_SAFE, min_size=10, max_size=60)
jwts = st.tuples(segments, segments, segments).map(lambda parts: "eyJ" + ".".join(parts))
opaque = st.text(URL_SAFE + ".~+/=", min_size=8, max_size=60)

# Whatever precedes or follows one of our tokens.
surroundings = st.text(max_size=20)
# What precedes a secret of any form.
labels = st.sampled_from(
    [
        "GET /view?token=",
        "GET /view?a=b&access_token=",
        "'GET', '/ws?clientId=1&token=",
        "Authorization: Bearer ",
        "(b'authorization', b'Bearer ",
        "authorization: bearer   ",
        "{'Authorization': 'Basic ",
        "cookie: a=b; jwt_token=",
        "http://localhost:8000/register?setup_token=",
        "GET /t/",
    ]
)
tails = st.sampled_from(["", " HTTP/1.1", "'", '"', "&b=c", "; path=/", "\n"])


@given(surroundings, api_tokens | jwts, surroundings)
def test_our_tokens_are_hidden_wherever_they_stand(before: str, token: str, after: str) -> None:
    assert token not in scrub(before + token + after)
    assert token not in scrub(before + quote(token, safe="") + after)


@given(labels, opaque, tails)
def test_secrets_of_any_form_are_hidden_where_secrets_stand(
    label: str, secret: str, tail: str
) -> None:
    if label.endswith("/t/"):
        secret = secret.replace("/", "x")
    line = scrub(label + secret + tail)
    assert secret not in line.replace(label, "", 1)
    assert line.startswith(label + "***")


@pytest.mark.parametrize(
    "encoded", ["next=%2Fview%3Ftoken%3D{}", "%22{}%22", "x_{}", "token:{}", "[{}]", "={}"]
)
def test_a_token_is_hidden_though_glued_to_other_letters(encoded: str) -> None:
    for token in ("mss_" + "aB3-_" * 8, "eyJhbGciOi.eyJqdGki.c2ln-_"):
        assert token not in scrub(encoded.format(token))


def test_basic_credentials_are_hidden_whole() -> None:
    encoded = base64.b64encode(b"user:mss_" + b"x" * 43).decode()
    assert scrub(f"Authorization: Basic {encoded}") == "Authorization: Basic ***"


def test_a_token_without_a_name_is_hidden_and_no_digest_is() -> None:
    token = "aB3-" + "x" * 39
    assert scrub(f"refused {token}.") == "refused ***."
    for other in ("a1" * 32, "0123456789abcdef-0123-4567-89ab-cdef01234567", "x" * 43, token + "x"):
        assert scrub(other) == other


@given(st.text(st.characters(exclude_characters="=?&", exclude_categories=["Cs"]), max_size=40))
def test_other_texts_stay_as_they_are(text: str) -> None:
    lowered = text.lower()
    if not any(word in lowered for word in ("mss_", "eyj", "bearer", "basic", "/t/")):
        assert scrub(text) == text


# --- lines ----------------------------------------------------------------------------------


def formatted(message: str, *args: object, error: BaseException | None = None) -> str:
    formatter = GatewayFormatter(config("INFO")["formatters"]["line"]["format"])
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("test", logging.INFO, __file__, 1, message, args, info)
    return formatter.format(record)


def test_line_carries_the_request_id_and_hides_arguments() -> None:
    requestnotes.begin(RequestNotes("cafe0001"))
    line = formatted("GET %s", "/view?token=abc")
    assert line.endswith(" INFO [cafe0001] test: GET /view?token=***")
    requestnotes.note_user(12)
    assert " INFO [cafe0001 user=12] test: hello" in formatted("hello")


def test_traceback_is_scrubbed_and_keeps_its_lines() -> None:
    try:
        raise ValueError("bad url http://x/?token=secret-thing")
    except ValueError as error:
        text = formatted("failed", error=error)
    assert "Traceback" in text and len(text.splitlines()) > 3
    assert text.endswith("ValueError: bad url http://x/?token=***")


@given(st.text(max_size=60))
def test_a_message_is_one_printable_line(message: str) -> None:
    line = formatted("%s", message)
    assert not any(char < " " or "\x7f" <= char < "\xa0" for char in line)


@pytest.mark.parametrize("text", ["eyJ" * 70_000, "mss_" * 50_000, "bearer " * 30_000])
def test_attacker_sends_beginnings_of_tokens_and_scrubbing_takes_no_time(text: str) -> None:
    # Quadratic, this took 12 s for 60 kB, and everyone waited.
    began = time.process_time()
    scrub(text)
    assert time.process_time() - began < 1


def as_json(message: str, *args: object, error: BaseException | None = None, **beside: str) -> str:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("test", logging.INFO, __file__, 1, message, args, info)
    record.__dict__.update(beside)
    return GatewayJsonFormatter().format(record)


def test_collector_gets_an_object_with_request_and_user() -> None:
    requestnotes.begin(RequestNotes("cafe0002", user_id=7))
    line = json.loads(as_json("GET %s", "/view?token=abc", path="/t/secret-thing/queue"))
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "test",
        "message": "GET /view?token=***",
        "request_id": "cafe0002",
        "user_id": 7,
        "path": "/t/***/queue",
    }


@given(st.text(max_size=60))
def test_a_collectors_line_is_one_whole_object(message: str) -> None:
    try:
        raise ValueError("bad url http://x/?token=secret-thing")
    except ValueError as error:
        line = as_json('%s token=se"cret\\', message, error=error)
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    assert "secret-thing" not in found["exc_info"]
