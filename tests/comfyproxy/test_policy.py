"""How a request meets its line: the more literal wins, ambiguity is an error, the rest denies."""

import pytest

from accounts.capabilities import Capability as Cap
from accounts.errors import BadPath, MethodNotAllowed, NotFound
from comfyproxy.paths import canonical
from comfyproxy.policy import Lane, Match, RouteTable, Rule, Spelling

DEFAULT = Rule("GET POST", "/{rest*}", Cap.ACCESS_EXTENSIONS, Lane.STREAM, "default")


def line(
    pattern: str, methods: str = "GET", spelling: Spelling = Spelling.BOTH, name: str = ""
) -> Rule:
    return Rule(methods, pattern, Cap.RUN, Lane.VIEW, name or pattern, spelling)


def table(*rules: Rule) -> RouteTable:
    return RouteTable(rules, (DEFAULT,))


def meet(routes: RouteTable, target: str, method: str = "GET") -> Match:
    return routes.match(method, canonical(target.encode()))


def handler(routes: RouteTable, target: str, method: str = "GET") -> str:
    return meet(routes, target, method).rule.handler


ORDERED = [line("/a/b"), line("/a/{x}"), line("/a/{x*}"), line("/{x:asset}"), line("/{x:manifest}")]


@pytest.mark.parametrize(
    ("target", "met"),
    [
        ("/a/b", "/a/b"),
        ("/a/c", "/a/{x}"),
        ("/a/b/c", "/a/{x*}"),
        ("/a", "default"),
        ("/app.js", "/{x:asset}"),
        ("/APP.JS", "/{x:asset}"),
        ("/manifest-Bx_1-f.json", "/{x:manifest}"),
        ("/site.webmanifest", "/{x:manifest}"),
        ("/manifest.js", "/{x:asset}"),
        ("/xmanifest.json", "/{x:asset}"),
        ("/app.php", "default"),
        ("/js", "default"),
        ("/.js", "default"),
        ("/app.js/x", "default"),
        ("/app.js%0b", None),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_request_meets_the_most_literal_line_in_whatever_order_they_stand(
    target: str, met: str | None, backwards: bool
) -> None:
    routes = table(*(reversed(ORDERED) if backwards else ORDERED))
    if met is None:
        with pytest.raises(BadPath):
            meet(routes, target)
    else:
        assert handler(routes, target) == met


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (line("/a"), line("/a", name="again")),
        (line("/a/{x}"), line("/a/{y}")),
        (line("/a/{x}"), line("/a/{+y}")),
        (line("/a/{x*}"), line("/a/{y*}")),
        (line("/a", "GET POST"), line("/a", "POST PUT")),
        (line("/a", spelling=Spelling.API), line("/a")),
        # Each more literal in another segment: /a/b would meet both.
        (line("/a/{x}"), line("/{x}/b")),
        (line("/a/{x*}"), line("/{x}/b/c")),
        # Case never separates two lines.
        (line("/a"), line("/A")),
    ],
    ids=lambda rule: f"{rule.methods} {rule.pattern}",
)
def test_two_lines_that_one_request_would_meet_equally_are_an_error(one: Rule, other: Rule) -> None:
    with pytest.raises(ValueError, match="collide"):
        table(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (line("/a"), line("/a", "POST")),
        (line("/a", spelling=Spelling.API), line("/a", spelling=Spelling.BARE)),
        (line("/a/{x}"), line("/b/{x}")),
        (line("/a/{x}"), line("/a/{x*}")),
        (line("/a"), line("/a/{x*}")),
        (line("/{x:asset}"), line("/{x:manifest}")),
        (line("/{x:asset}"), line("/a")),
    ],
    ids=lambda rule: f"{rule.methods} {rule.pattern}",
)
def test_lines_that_no_request_meets_equally_stand_side_by_side(one: Rule, other: Rule) -> None:
    assert set(table(one, other).rules) == {one, other}


@pytest.mark.parametrize(
    ("pattern", "methods"),
    [
        ("a", "GET"),
        ("/a/", "GET"),
        ("//a", "GET"),
        ("/{x*}/a", "GET"),
        ("/{x", "GET"),
        ("/a{x}", "GET"),
        ("/{x:unknown}", "GET"),
        ("/api/a", "GET"),
        ("/API/a", "GET"),
        ("/a", ""),
        ("/a", "FETCH"),
        ("/a", "get"),
        ("/a", "HEAD"),
        ("/a", "GET OPTIONS"),
    ],
)
def test_a_malformed_line_is_an_error_at_start(pattern: str, methods: str) -> None:
    with pytest.raises(ValueError):
        table(line(pattern, methods))


def test_head_counts_as_get() -> None:
    routes = table(line("/a"), line("/b", "POST"))
    assert handler(routes, "/a", "HEAD") == "/a"
    assert handler(routes, "/x", "HEAD") == "default"
    with pytest.raises(MethodNotAllowed):
        meet(routes, "/b", "HEAD")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "get", "", "PROPFIND"])
def test_another_method_is_405_on_any_path(method: str) -> None:
    for target in ("/a", "/unknown"):
        with pytest.raises(MethodNotAllowed):
            meet(table(line("/a")), target, method)


def test_a_named_path_with_another_method_is_405_and_says_which_are_allowed() -> None:
    routes = table(line("/a", "POST"), line("/{x:asset}"), line("/a/{x}", "GET PUT"))
    with pytest.raises(MethodNotAllowed) as refusal:
        meet(routes, "/a")
    assert (refusal.value.status, refusal.value.headers) == (405, {"Allow": "POST"})
    with pytest.raises(MethodNotAllowed) as refusal:
        meet(routes, "/a/b", "DELETE")
    assert refusal.value.headers == {"Allow": "GET, HEAD, PUT"}
    # Never the default line, which would let somebody through to it.
    with pytest.raises(MethodNotAllowed):
        meet(routes, "/app.js", "POST")
    with pytest.raises(MethodNotAllowed):
        meet(routes, "/unknown", "DELETE")


def test_a_less_literal_line_serves_the_methods_a_more_literal_one_has_not() -> None:
    routes = table(line("/a/b", "POST"), line("/a/{x}", "GET"))
    assert handler(routes, "/a/b", "POST") == "/a/b"
    assert handler(routes, "/a/b", "GET") == "/a/{x}"


@pytest.mark.parametrize(
    ("spelling", "bare", "api"),
    [(Spelling.BOTH, True, True), (Spelling.BARE, True, False), (Spelling.API, False, True)],
)
def test_a_spelling_that_comfyui_does_not_know_is_404(
    spelling: Spelling, bare: bool, api: bool
) -> None:
    routes = table(line("/a", spelling=spelling))
    for target, known in (("/a", bare), ("/api/a", api)):
        if known:
            assert handler(routes, target) == "/a"
        else:
            with pytest.raises(NotFound):
                meet(routes, target)


@pytest.mark.parametrize(
    "target",
    ["/A", "/Files/x", "/FILES/x/y", "/a/", "/files/x/", "/unknown/", "/api/A", "/ﬁles/x"],
)
def test_a_slash_or_case_variant_of_a_named_path_is_404(target: str) -> None:
    with pytest.raises(NotFound):
        meet(table(line("/a"), line("/files/{rest*}")), target)


@pytest.mark.parametrize("target", ["/;a", "/a;x", "/a%3B", "/a%20", "/%20a", "/a.", "/b"])
def test_what_looks_like_a_named_path_to_nobody_meets_the_default_line(target: str) -> None:
    assert meet(table(line("/a")), target).rule is DEFAULT


def test_parameters_hold_what_stood_there() -> None:
    routes = table(line("/a/{x}/{rest*}"), line("/f/{+x}"), line("/f/{+x}/to/{+y}"), line("/"))
    assert meet(routes, "/a/1/2/%C3%A9").params == {"x": "1", "rest": "2/é"}
    assert meet(routes, "/f/a%2Fb").params == {"x": "a/b"}
    assert meet(routes, "/f/a%2Fb/to/c%2Fd").params == {"x": "a/b", "y": "c/d"}
    assert meet(routes, "/").params == {}
    assert meet(routes, "/x/y").params == {"rest": "x/y"}


@pytest.mark.parametrize(
    "target",
    ["/a/x%2Fy", "/rest/x/y%2Fz", "/rest/x%2Fy", "/a%2Fx", "/x%2Fy", "/%2Fa", "/a.js%2F", "/f%2Fx"],
)
def test_an_encoded_slash_where_none_belongs_is_refused(target: str) -> None:
    routes = table(line("/a/{x}"), line("/rest/{x*}"), line("/{x:asset}"), line("/f/{+x}"))
    with pytest.raises(BadPath):
        meet(routes, target)


class TestRulesOfTheAdmin:
    """Rules for custom nodes' routes cover only what no named line does."""

    routes = table(
        line("/a"), line("/a/{x}", "POST"), line("/tree/{rest*}"), line("/{x:asset}"), line("/")
    )

    @pytest.mark.parametrize(
        "pattern",
        [
            "/a",
            "/A",
            "/a/{y}",
            "/a/b",
            "/{y}/b",
            "/{y}",
            "/{y*}",
            "/tree/x",
            "/TREE/x/y",
            "/tree/{x*}",
            "/{y}/x/z",
            "/app.js",
            "/{y:asset}",
            "/",
        ],
    )
    def test_admin_covers_a_named_path_is_refused(self, pattern: str) -> None:
        for methods in ("GET", "DELETE"):
            with pytest.raises(ValueError, match="gateway's own"):
                self.routes.refuse_overlap(line(pattern, methods))

    @pytest.mark.parametrize(
        "pattern", ["/my", "/my/{x}", "/my/{rest*}", "/a/b/c", "/tree", "/app.php"]
    )
    def test_admin_covers_an_unnamed_path_is_accepted(self, pattern: str) -> None:
        self.routes.refuse_overlap(line(pattern))

    def test_admin_adds_a_rule_it_comes_after_the_named_lines_and_before_the_default(self) -> None:
        mine = RouteTable([line("/my/{x}", "GET", name="mine"), line("/a", name="stolen")], ())
        for target, met in (("/my/x", "mine"), ("/a", "/a"), ("/your/x", "default")):
            match = self.routes.match("GET", canonical(target.encode()), mine)
            assert match.rule.handler == met
        # Its other methods are not the default line's.
        with pytest.raises(MethodNotAllowed):
            self.routes.match("POST", canonical(b"/my/x"), mine)
