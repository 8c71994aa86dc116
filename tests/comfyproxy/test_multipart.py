"""Upload forms: rewritten while they stream, read by ComfyUI's server as we mean them."""

from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from unittest import mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import make_mocked_request
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.errors import BadRequest
from comfyproxy.multipart import MAX_FIELD_BYTES, MAX_PARTS, UploadForm

BOUNDARY = "client-boundary"
FIELDS = [("type", "input"), ("subfolder", "u-alice00000/a")]


def file_part(content: bytes = b"data", disposition: str = "", extra: str = "") -> bytes:
    disposition = disposition or 'form-data; name="image"; filename="x.png"'
    return f"Content-Disposition: {disposition}\r\n{extra}\r\n".encode() + content


def field(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def form(*parts: bytes, boundary: str = BOUNDARY) -> bytes:
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


async def _chunks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def emitted(
    pieces: Iterable[bytes],
    content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
    fields: Iterable[tuple[str, str]] = FIELDS,
) -> tuple[UploadForm, bytes]:
    upload = UploadForm(content_type)
    sent = [piece async for piece in upload.file_part(_chunks(pieces))]
    return upload, b"".join(sent) + upload.closing(fields)


async def read_by_comfyui(upload: UploadForm, body: bytes) -> list[tuple[str, object]]:
    """(name, value) of every field as aiohttp's server reads the form; files as bytes."""
    stream = StreamReader(mock.Mock(_reading_paused=False), 2**16)
    stream.feed_data(body)
    stream.feed_eof()
    headers = {"Content-Type": upload.content_type}
    post = await make_mocked_request("POST", "/", headers=headers, payload=stream).post()
    return [
        (name, (value.filename, value.file.read()) if isinstance(value, web.FileField) else value)
        for name, value in post.items()
    ]


async def refusal(*parts: bytes, **options: str) -> BadRequest:
    with pytest.raises(BadRequest) as refused:
        await emitted([form(*parts)], **options)
    return refused.value


async def test_client_sends_a_file_and_fields_comfyui_reads_the_file_and_our_fields() -> None:
    client = form(
        field("subfolder", "u-bob0000000"),
        field("type", "output"),
        file_part(b"\x89PNG\r\n\x1a\n\0\xff", extra="Content-Type: image/png\r\n"),
        field("subfolder", "again"),
        field("overwrite", "true"),
        field("né", "ü"),
    )
    upload, body = await emitted([client])
    assert await read_by_comfyui(upload, body) == [
        ("image", ("x.png", b"\x89PNG\r\n\x1a\n\0\xff")),
        *FIELDS,
    ]
    assert b"u-bob" not in body and b"output" not in body
    # Of repeated fields the first counts, as in ComfyUI.
    assert upload.fields == {
        "subfolder": "u-bob0000000",
        "type": "output",
        "overwrite": "true",
        "né": "ü",
    }


CONTENTS = [
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b"--",
    b"\n--client-boundary\n",
    b'\n--client-boundary\r\nContent-Disposition: form-data; name="subfolder"\r\n\r\nx',
    b"--client-boundary--",
    b"\r\n--client-boundar",
    b"\r\n--client-boundar\r\n--client-bound",
    b"\r--client-boundary",
    b"\r\n-",
    b"\r\n--",
    b"\0" * 70_000,
]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: repr(content[:40]))
async def test_client_sends_contents_that_look_like_a_form_they_arrive_unchanged(
    content: bytes,
) -> None:
    upload, body = await emitted([form(file_part(content))])
    assert await read_by_comfyui(upload, body) == [("image", ("x.png", content)), *FIELDS]


_CONTENT = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"-", BOUNDARY.encode(), b"x", b"\0"])
    | st.binary(max_size=20),
    max_size=12,
).map(b"".join)


@given(_CONTENT, st.lists(st.integers(0, 400), max_size=8))
@example(b"\r\n--client-boundar", [1, 2, 3])
async def test_any_contents_in_any_pieces_arrive_unchanged(content: bytes, cuts: list[int]) -> None:
    if f"\r\n--{BOUNDARY}".encode() in b"\r\n" + content:
        content = content.replace(BOUNDARY.encode(), b"")
    whole = form(field("overwrite", "1"), file_part(content), field("subfolder", "s"))
    places = [0, *sorted(cut % len(whole) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(places)]
    upload, body = await emitted(pieces)
    assert upload.fields == {"overwrite": "1", "subfolder": "s"}
    assert await read_by_comfyui(upload, body) == [("image", ("x.png", content)), *FIELDS]


async def test_client_sends_a_form_byte_by_byte_it_is_the_same_form() -> None:
    whole = form(field("a", "b"), file_part(b"\r\n--client-boundarx"))
    upload, body = await emitted(bytes([byte]) for byte in whole)
    assert upload.fields == {"a": "b"}
    assert (await read_by_comfyui(upload, body))[0] == (
        "image",
        ("x.png", b"\r\n--client-boundarx"),
    )


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
@example('x\r\n--client-boundary\r\nContent-Disposition: form-data; name="type"\r\n\r\noutput')
async def test_any_field_of_ours_is_read_as_one_field(value: str) -> None:
    upload, body = await emitted(
        [form(file_part())], fields=[("type", "input"), ("subfolder", value)]
    )
    assert await read_by_comfyui(upload, body) == [
        ("image", ("x.png", b"data")),
        ("type", "input"),
        ("subfolder", value),
    ]


@pytest.mark.parametrize(
    "boundary",
    ["a", "'()+_,-./:=?", 'a"b', "a b", "x" * 70, 'a"; boundary="b', "a\\b", "----WebKitForm7"],
)
async def test_client_chooses_any_boundary_ours_is_another(boundary: str) -> None:
    quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
    whole = form(file_part(b"data"), boundary=boundary)
    upload, body = await emitted([whole], f'multipart/form-data; boundary="{quoted}"')
    assert await read_by_comfyui(upload, body) == [("image", ("x.png", b"data")), *FIELDS]
    assert upload.content_type != (await emitted([form(file_part())]))[0].content_type


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('filename="x y.png"', "x y.png"),
        ('filename="é ü.png"', "é ü.png"),
        ("filename=x.png", "x.png"),
        # RFC 7578 forbids the extended form in a form; beside the plain one it is ignored.
        ("filename=\"x.png\"; filename*=UTF-8''%2e%2e%2fy.png", "x.png"),
        ("filename*=UTF-8''%2e%2e%2fy.png; filename=x.png", "x.png"),
        ('filename=".hidden"', ".hidden"),
        ('filename="a%2Fb.png"', "a%2Fb.png"),
        ('filename="a;b.png"', "a;b.png"),
        ('filename="x (1).png"', "x (1).png"),
    ],
)
async def test_client_names_its_file_comfyui_reads_the_same_name(written: str, name: str) -> None:
    part = file_part(disposition=f'form-data; name="image"; {written}')
    upload, body = await emitted([form(part)])
    assert (await read_by_comfyui(upload, body))[0] == ("image", (name, b"data"))


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", ". .", "../x.png", "a/x.png", "/x.png", "a\\\\x.png", "\\\\x", "a..b.png",
     "a\\\"b.png", "a\0b", "a\tb", "a\x7fb", "x" * 300, "é" * 150, "a;b;c.png"],
)  # fmt: skip
async def test_client_names_its_file_to_lead_elsewhere_gets_400(name: str) -> None:
    part = file_part(disposition=f'form-data; name="image"; filename="{name}"')
    assert (await refusal(part)).fields == {"field": "image"}


async def test_client_names_its_file_in_the_extended_form_only_gets_400() -> None:
    part = file_part(disposition="form-data; name=\"image\"; filename*=UTF-8''x.png")
    assert (await refusal(part)).fields == {"field": "image"}


async def test_client_names_its_file_in_no_encoding_gets_400() -> None:
    part = b'Content-Disposition: form-data; name="image"; filename="\xff\xfe"\r\n\r\ndata'
    assert (await refusal(part)).fields == {"field": "image"}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("image/png", "image/png"),
        ("text/plain; charset=utf-16", "application/octet-stream"),
        ("multipart/mixed; boundary=x", "application/octet-stream"),
        ("MULTIPART/form-data", "application/octet-stream"),
        ("x", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
async def test_client_calls_its_file_any_type_only_a_plain_one_is_passed_on(
    sent: str, read: str
) -> None:
    extra = f"Content-Type: {sent}\r\nContent-Transfer-Encoding: base64\r\nX-Other: 1\r\n"
    _, body = await emitted([form(file_part(extra=extra))])
    head = body.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[1:] == [
        b'Content-Disposition: form-data; name="image"; filename="x.png"',
        f"Content-Type: {read}".encode(),
    ]


async def test_client_sends_two_files_gets_400() -> None:
    other = file_part(disposition='form-data; name="mask"; filename="y.png"')
    assert (await refusal(file_part(), file_part())).fields == {"field": "image"}
    assert (await refusal(file_part(), other)).fields == {"field": "mask"}


async def test_client_sends_no_file_gets_400() -> None:
    assert (await refusal(field("type", "input"))).fields == {"field": "image"}
    assert (await refusal(field("image", "not a file"))).fields == {"field": "image"}
    with pytest.raises(BadRequest):
        await emitted([b"--client-boundary--\r\n"])


async def test_client_sends_huge_or_many_fields_gets_400() -> None:
    assert (await refusal(field("a", "x" * (MAX_FIELD_BYTES + 1)))).fields == {"field": "a"}
    many = [field(str(number), "x") for number in range(MAX_PARTS)]
    assert "too many" in (await refusal(*many, file_part())).message
    long_header = file_part(extra=f"X-Long: {'x' * 100_000}\r\n")
    await refusal(long_header)
    await refusal(file_part(extra="".join(f"X-{n}: 1\r\n" for n in range(1000))))


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/json", "multipart/form-data", "multipart/form-data; boundary=",
     "multipart/mixed; boundary=x", f"multipart/form-data; boundary={'x' * 71}",
     f"application/x-www-form-urlencoded; boundary={BOUNDARY}"],
)  # fmt: skip
def test_client_sends_no_form_gets_400(content_type: str) -> None:
    with pytest.raises(BadRequest):
        UploadForm(content_type)


WHOLE = form(field("type", "input"), file_part(b"some data"), field("subfolder", "a"))


@pytest.mark.parametrize("length", range(0, len(WHOLE) - 4, 7))
async def test_client_breaks_off_gets_400_and_comfyui_never_a_whole_form(length: int) -> None:
    with pytest.raises(BadRequest):
        await emitted([WHOLE[:length]])


@pytest.mark.parametrize(
    "body",
    [b"x", b"data without a boundary", b"--other-boundary\r\n\r\n", b"--client-boundaryx\r\n",
     b"--client-boundary\r\nno header\r\n\r\n", b"--client-boundary\n\n", b"\0" * 100],
)  # fmt: skip
async def test_client_sends_bytes_that_are_no_form_gets_400(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await emitted([body])


@given(st.binary(max_size=200))
async def test_any_bytes_are_refused_in_our_words(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await emitted([b"--client-boundary", body])


async def test_what_follows_the_end_of_the_form_is_ignored() -> None:
    upload, body = await emitted([WHOLE, b"epilogue", form(field("type", "output"))])
    assert upload.fields == {"type": "input", "subfolder": "a"}
    assert await read_by_comfyui(upload, body) == [("image", ("x.png", b"some data")), *FIELDS]
