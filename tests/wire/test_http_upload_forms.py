"""Upload forms that mean to mislead: boundaries, file names, part headers, half a form."""

import pytest

from tests.client import Client
from tests.comfydisk import ComfyDisk
from tests.formbody import CONTENT_TYPE, field, file, form, send_form
from tests.refusals import check_refusal

pytestmark = pytest.mark.usefixtures("clean_log")


def test_form_inside_the_file_stays_a_file(alice: Client, bob: Client, disk: ComfyDisk) -> None:
    """Parsers differ in where a boundary ends; none may let a file's bytes pass for fields."""
    for boundary in ("a;b", 'a"b', "a ", " a", "a, b", "a\\b", "a'b", "a=b", "a/b", "a?b"):
        for shorter in {boundary.strip(), *(boundary[:1],), boundary.split(";")[0]}:
            before = disk.files()
            inner = form(
                file("pwn.png", b"PWNED"),
                field("type", "output"),
                field("overwrite", "true"),
                field("subfolder", bob.namespace),
                boundary=shorter,
            )
            quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
            kind = f'multipart/form-data; boundary="{quoted}"'
            answer = send_form(
                alice, form(file("b.png", inner), boundary=boundary), content_type=kind
            )
            assert answer.status_code in (200, 400), boundary
            own = f"input/{alice.namespace}/"
            assert all(name.startswith(own) for name in disk.added(before)), boundary
            for name in disk.added(before):
                (disk.base / name).unlink()


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "...",
        "../x.png",
        "a/b.png",
        "/etc/passwd",
        "..\\\\x.png",
        "a..b",
        "a\0b",
        "a\x01b",
        "a\tb",
        'a\\"b',
        "x" * 250 + ".png",
        "ü" * 130,
        b"\xff\xfe.png",
        "a;b;c.png",
    ],
)
def test_file_name_that_misleads_is_refused_and_nothing_written(
    alice: Client, disk: ComfyDisk, name: str | bytes
) -> None:
    before = disk.files()
    answer = send_form(alice, form(file(name, b"x"), field("subfolder", "n")))
    check_refusal(
        answer, 400, "BAD_REQUEST", **({"field": "image"} if "field" in answer.json() else {})
    )
    assert disk.added(before) == {}


@pytest.mark.parametrize(
    "name",
    ["ü ñ 日本.png", "a;b.png", "a=b&c.png", "100%.png", "%2e%2e%2fx.png", "no extension", "a'b"],
)
def test_unusual_file_name_is_kept(alice: Client, disk: ComfyDisk, name: str) -> None:
    before = disk.files()
    assert send_form(alice, form(file(name, b"x"))).json()["name"] == name
    assert disk.added(before) == {f"input/{alice.namespace}/{name}": b"x"}


@pytest.mark.parametrize(
    "kind",
    ["multipart/mixed; boundary=x", "text/html; charset=bogus", "x" * 3000, "a/b\x01", "image/png"],
)
def test_content_type_of_the_file_makes_no_difference(
    alice: Client, disk: ComfyDisk, kind: str
) -> None:
    before = disk.files()
    inner = form(field("subfolder", "../elsewhere"), boundary="x")
    assert send_form(alice, form(file("k.png", inner, kind=kind))).status_code == 200
    assert disk.added(before) == {f"input/{alice.namespace}/k.png": inner}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"image=x", "application/x-www-form-urlencoded"),
        (form(file("x.png", b"x")), "multipart/form-data"),
        (form(file("x.png", b"x")), "multipart/form-data; boundary="),
        (form(file("x.png", b"x")), "multipart/form-data; boundary=" + "y" * 100),
        (
            form(file("x.png", b"x")),
            CONTENT_TYPE.replace("form-data", "mixed"),
        ),
        (form(file("x.png", b"x")), "multipart/form-data; boundary=other"),
        (b"", CONTENT_TYPE),
        (form(), CONTENT_TYPE),
        (form(field("subfolder", "x")), CONTENT_TYPE),
        (form(field("image", "no file")), CONTENT_TYPE),
        (form(file("x.png", b"x", name="other")), CONTENT_TYPE),
        (form(file("x.png", b"x"), file("y.png", b"y")), CONTENT_TYPE),
        (form(file("x.png", b"x"), file("y.png", b"y", name="more")), CONTENT_TYPE),
        (form(file("x.png", b"x"))[:-4], CONTENT_TYPE),
        (form(file("x.png", b"x"))[:60], CONTENT_TYPE),
        (form(file("x.png", b"x"), field("type", "x" * 100_000)), CONTENT_TYPE),
        (form(file("x.png", b"x"), *[field(f"f{n}", "") for n in range(50)]), CONTENT_TYPE),
        (form(b"no header at all\r\n\r\n" + b"x\r\n"), CONTENT_TYPE),
        (form(b"X: " + b"y" * 100_000 + b"\r\n\r\nx\r\n"), CONTENT_TYPE),
        (b"\r\n" * 1000, CONTENT_TYPE),
        (b"x" * 100_000, CONTENT_TYPE),
    ],
)
def test_what_is_no_upload_form_is_refused_and_nothing_written(
    alice: Client, disk: ComfyDisk, body: bytes, content_type: str
) -> None:
    before = disk.files()
    answer = send_form(alice, body, content_type=content_type)
    fields = {name: value for name, value in answer.json().items() if name == "field"}
    check_refusal(answer, 400, "BAD_REQUEST", **fields)
    assert disk.added(before) == {}
    # ComfyUI's connection and the gateway are in order afterwards.
    assert send_form(alice, form(file("after.png", b"x"))).json()["name"] == "after.png"
