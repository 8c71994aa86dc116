"""Headers: no credential reaches ComfyUI, nothing of ComfyUI's takes over the page."""

import pytest

from accounts.credentials import COOKIE_NAME
from comfyproxy.headers import for_user_content, to_client, to_upstream

SECRET = b"secret-that-must-not-pass"

PASSED_UP = [
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip"),
    (b"accept-language", b"de"),
    (b"cache-control", b"no-cache"),
    (b"if-modified-since", b"Wed, 21 Oct 2015 07:28:00 GMT"),
    (b"if-none-match", b'"a", "b"'),
    (b"if-range", b'"a"'),
    (b"pragma", b"no-cache"),
    (b"range", b"bytes=0-1"),
    (b"user-agent", b"test"),
]
ABOUT_THE_BODY = [
    (b"content-encoding", b"gzip"),
    (b"content-language", b"de"),
    (b"content-length", b"3"),
    (b"content-type", b"text/plain;charset=UTF-8"),
]
KEPT_BACK = [
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"cookie2",
    b"x-api-key",
    b"x-auth-token",
    b"x-access-token",
    b"x-csrftoken",
    b"comfy-user",
    b"host",
    b"origin",
    b"referer",
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-prefix",
    b"x-real-ip",
    b"x-original-url",
    b"x-http-method-override",
    b"sec-fetch-site",
    b"sec-websocket-protocol",
    b"sec-websocket-key",
    b"connection",
    b"keep-alive",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"expect",
    b"http2-settings",
    b"x-anything-else",
]
NOT_FOR_CLIENTS = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
    "server",
    "date",
    "alt-svc",
    "strict-transport-security",
    "clear-site-data",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-max-age",
]


def test_client_sends_every_kind_of_header_only_the_harmless_reach_comfyui() -> None:
    headers = [(name, SECRET) for name in KEPT_BACK]
    sent = to_upstream([*headers, *PASSED_UP, *ABOUT_THE_BODY])
    assert sent == [(n.decode(), v.decode()) for n, v in (*PASSED_UP, *ABOUT_THE_BODY)]


def test_client_sends_a_body_with_a_get_nothing_about_it_reaches_comfyui() -> None:
    sent = to_upstream([*ABOUT_THE_BODY, *PASSED_UP], body=False)
    assert sent == [(n.decode(), v.decode()) for n, v in PASSED_UP]


def test_client_repeats_a_header_both_reach_comfyui_in_order() -> None:
    assert to_upstream([(b"if-none-match", b'"a"'), (b"if-none-match", b'"\xe9"')]) == [
        ("if-none-match", '"a"'),
        ("if-none-match", '"\xe9"'),
    ]


def test_comfyui_answers_its_headers_reach_the_client_with_repeated_ones() -> None:
    headers = [
        (b"Content-Type", b"image/png"),
        (b"ETag", b'"a"'),
        (b"Set-Cookie", b"node=1; Path=/"),
        (b"set-cookie", b"other=2"),
        (b"Content-Encoding", b"gzip"),
        (b"X-Custom", b"kept"),
        (b"Vary", b"Accept-Encoding"),
        (b"vary", b"Accept"),
    ]
    assert to_client(headers) == [(name.lower(), value) for name, value in headers]


@pytest.mark.parametrize("name", NOT_FOR_CLIENTS)
def test_comfyui_speaks_for_the_connection_or_the_site_the_client_does_not_hear_it(
    name: str,
) -> None:
    for spelt in (name, name.upper(), name.title()):
        assert to_client([(spelt.encode(), b"*"), (b"X", b"y")]) == [(b"x", b"y")]


@pytest.mark.parametrize("name", [COOKIE_NAME, "mss_pages", "mss_csrf", "mss_anything"])
@pytest.mark.parametrize("written", ["{}=evil; Path=/", " {}=evil", "\t{}=evil", "{}", "={}=evil"])
def test_comfyui_sets_a_cookie_of_the_gateways_it_is_dropped_and_others_stay(
    name: str, written: str
) -> None:
    mine = (b"Set-Cookie", written.format(name).encode())
    other = (b"Set-Cookie", b"tab=1; Path=/")
    assert to_client([other, mine, other]) == [(b"set-cookie", b"tab=1; Path=/")] * 2


SANDBOX = (b"content-security-policy", b"sandbox; default-src 'none'")
ALWAYS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"private")]

INLINE = [
    b"image/png",
    b"image/jpeg",
    b"image/webp",
    b"image/gif",
    b"IMAGE/PNG",
    b"image/vnd.microsoft.icon",
    b"video/mp4",
    b"video/webm",
    b"audio/flac",
    b"audio/mpeg",
    b"text/plain",
    b"text/plain; charset=utf-8",
    b"text/plain ;charset=utf-8",
    b"application/json",
]
ATTACHED = [
    b"image/svg+xml",
    b"IMAGE/SVG+XML",
    b"image/svg+xml; charset=utf-8",
    b"image/svg",
    b"image/foo+xml",
    b"image/x-xml",
    b"text/html",
    b"text/html; charset=utf-8",
    b"application/xhtml+xml",
    b"text/xml",
    b"application/xml",
    b"application/rss+xml",
    b"text/javascript",
    b"application/javascript",
    b"application/x-javascript",
    b"text/css",
    b"text/csv",
    b"application/pdf",
    b"application/octet-stream",
    b"application/x-shockwave-flash",
    b"application/zip",
    b"application/json+html",
    b"application/jsonp",
    b"text/plainhtml",
    b"multipart/x-mixed-replace; boundary=x",
    b"text/cache-manifest",
    b"model/gltf-binary",
    b"",
    b"image/",
    b"image",
    b"image/png, text/html",
    b"image/png,text/html",
    b"image/png; x=y, text/html",
    b"image/png text/html",
]


@pytest.mark.parametrize("media_type", INLINE)
def test_a_users_picture_video_or_text_is_shown_but_never_sniffed_nor_shared(
    media_type: bytes,
) -> None:
    given = [(b"content-type", media_type), (b"content-disposition", b'filename="a.b"')]
    assert for_user_content(given) == [*given, *ALWAYS]


@pytest.mark.parametrize("media_type", ATTACHED)
def test_a_users_file_that_a_browser_could_run_comes_as_an_attachment_in_a_sandbox(
    media_type: bytes,
) -> None:
    given = (b"content-type", media_type)
    assert for_user_content([given]) == [
        given,
        *ALWAYS,
        (b"content-disposition", b"attachment"),
        SANDBOX,
    ]


def test_a_users_file_without_a_type_or_with_two_comes_as_an_attachment() -> None:
    assert for_user_content([]) == [*ALWAYS, (b"content-disposition", b"attachment"), SANDBOX]
    two = [(b"content-type", b"image/png"), (b"content-type", b"text/html")]
    assert for_user_content(two)[-2:] == [(b"content-disposition", b"attachment"), SANDBOX]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b'filename="a.svg"', b'attachment;filename="a.svg"'),
        (b'inline; filename="a.svg"', b'attachment; filename="a.svg"'),
        (b'attachment; filename="a.svg"', b'attachment; filename="a.svg"'),
        (b"inline", b"attachment"),
        (b"INLINE", b"attachment"),
        (b"", b"attachment"),
        (b"form-data; name=x", b"attachment; name=x"),
        (b"filename*=UTF-8''a.svg", b"attachment;filename*=UTF-8''a.svg"),
    ],
)
def test_comfyuis_own_disposition_becomes_an_attachment_with_its_name(
    sent: bytes, shown: bytes
) -> None:
    headers = [(b"content-type", b"image/svg+xml"), (b"content-disposition", sent)]
    found = [v for n, v in for_user_content(headers) if n == b"content-disposition"]
    assert found == [shown]


def test_comfyuis_caching_and_policies_for_a_users_file_are_replaced_and_the_rest_stays() -> None:
    rest = [
        (b"content-type", b"image/png"),
        (b"etag", b'"a"'),
        (b"last-modified", b"x"),
        (b"accept-ranges", b"bytes"),
        (b"content-range", b"bytes 0-1/9"),
    ]
    replaced = [
        (b"cache-control", b"public, max-age=86400"),
        (b"cache-control", b"no-transform"),
        (b"x-content-type-options", b"none"),
        (b"content-security-policy", b"default-src *"),
    ]
    assert for_user_content([*replaced, *rest]) == [*rest, *ALWAYS]
