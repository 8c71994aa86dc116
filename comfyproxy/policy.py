"""How a request meets its line of the route table: form of a line, matching, deny by default.

The lines themselves stand in `comfyproxy.routes`. A pattern is whole segments: a literal,
`{name}` (one segment), `{name:check}` (one segment that passes a named check),
`{+name}` (one segment that may hold an encoded slash), and last `{name*}` (all the rest, at
least one segment). The more literal line wins; where neither is, it is an error at start.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import combinations
from typing import Final

from accounts.capabilities import Capability
from accounts.errors import BadPath, MethodNotAllowed, NotFound
from comfyproxy.paths import API_PREFIX, CanonicalPath

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
# What a line may name; HEAD goes with GET.
_NAMED_METHODS: Final = METHODS - {"HEAD"}


class Lane(Enum):
    """Which entry serves a route. A handler does not know its lane."""

    STREAM = "stream"
    VIEW = "view"
    SOCKET = "socket"


class Spelling(Enum):
    """Which spellings ComfyUI knows of a route: `/x` and `/api/x`, or one of them."""

    BOTH = "both"
    BARE = "bare"
    API = "api"

    def allows(self, api: bool) -> bool:
        return self is Spelling.BOTH or (self is Spelling.API) == api


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: who may send these methods to this pattern, and which handler answers.

    `capability` None is public. `methods` holds GET for HEAD too.
    """

    methods: str
    pattern: str
    capability: Capability | None
    lane: Lane
    handler: str
    spelling: Spelling = Spelling.BOTH
    note: str = ""

    def accepts(self, method: str) -> bool:
        return ("GET" if method == "HEAD" else method) in self.methods.split()


@dataclass(frozen=True, slots=True)
class Match:
    """A line that was met, and what its parameters held."""

    rule: Rule
    params: dict[str, str] = field(default_factory=dict)


_WEB_ASSET: Final = re.compile(
    r"[^/]+\.(?:html|js|mjs|css|map|json|webmanifest|png|jpe?g|gif|webp|avif|svg|ico|"
    r"woff2?|ttf|otf|eot|txt|xml|wasm|mp3|mp4|webm|wav|ogg)",
    re.IGNORECASE,
)
# Vite names it `manifest-<hash>.json`; browsers may fetch it without cookies.
_MANIFEST: Final = re.compile(r"(?:manifest|site)(?:-[\w-]+)?\.(?:json|webmanifest)")
# From wide to narrow: the narrower check wins.
CHECKS: Final = {"asset": _WEB_ASSET, "manifest": _MANIFEST}
_PARAMETER: Final = re.compile(r"\{(?P<slash>\+)?(?P<name>\w+)(?::(?P<check>\w+))?(?P<rest>\*)?\}")


@dataclass(frozen=True, slots=True)
class _Piece:
    literal: str | None
    name: str = ""
    encoded_slash: bool = False
    check: re.Pattern[str] | None = None
    rest: bool = False

    @property
    def weight(self) -> int:
        if self.literal is not None:
            return 2 + len(CHECKS)
        if self.rest:
            return 0
        narrowness = list(CHECKS.values())
        return 2 + narrowness.index(self.check) if self.check else 1


def _pieces(pattern: str) -> tuple[_Piece, ...]:
    if not pattern.startswith("/"):
        raise ValueError(f"{pattern}: a pattern begins with a slash")
    pieces = []
    for part in pattern[1:].split("/") if pattern != "/" else ():
        found = _PARAMETER.fullmatch(part)
        if found is None:
            if not part or "{" in part or "}" in part:
                raise ValueError(f"{pattern}: {part!r} is no segment")
            pieces.append(_Piece(part))
            continue
        check = found["check"]
        if check is not None and check not in CHECKS:
            raise ValueError(f"{pattern}: there is no check {check!r}")
        pieces.append(
            _Piece(
                None,
                name=found["name"],
                encoded_slash=bool(found["slash"]),
                check=CHECKS[check] if check else None,
                rest=bool(found["rest"]),
            )
        )
    if pieces and (pieces[0].literal or "").casefold() == API_PREFIX:
        raise ValueError(f"{pattern}: patterns are written without /{API_PREFIX}")
    if any(piece.rest for piece in pieces[:-1]):
        raise ValueError(f"{pattern}: only the last segment may take the rest")
    return tuple(pieces)


@dataclass(frozen=True, slots=True)
class _Line:
    rule: Rule
    pieces: tuple[_Piece, ...]

    @property
    def weights(self) -> tuple[int, ...]:
        return tuple(piece.weight for piece in self.pieces)

    def shares_requests(self, other: "_Line") -> bool:
        """Whether one request could meet both lines."""
        return (
            not set(self.rule.methods.split()).isdisjoint(other.rule.methods.split())
            and any(
                self.rule.spelling.allows(api) and other.rule.spelling.allows(api)
                for api in (False, True)
            )
            and _overlap(self.pieces, other.pieces)
        )

    def as_literal_as(self, other: "_Line") -> bool:
        """Whether neither line is the more literal: the same, or each in another segment."""
        pairs = list(zip(self.weights, other.weights, strict=False))
        return any(a > b for a, b in pairs) == any(a < b for a, b in pairs)

    def params(self, segments: Sequence[str], *, fold: bool = False) -> dict[str, str] | None:
        """What the parameters hold if the segments match, else None."""
        rest = bool(self.pieces) and self.pieces[-1].rest
        if len(segments) < len(self.pieces) or (len(segments) > len(self.pieces) and not rest):
            return None
        params = {}
        for piece, segment in zip(self.pieces, segments, strict=False):
            if piece.literal is not None:
                same = segment == piece.literal
                if not same and not (fold and segment.casefold() == piece.literal.casefold()):
                    return None
            elif piece.rest:
                params[piece.name] = "/".join(segments[len(self.pieces) - 1 :])
            elif piece.check is not None and not piece.check.fullmatch(segment):
                return None
            else:
                params[piece.name] = segment
        return params


def _names_slash(line: _Line, segments: Sequence[str]) -> bool:
    """Whether an encoded slash stands where this line does not expect one."""
    return any(
        "/" in segment and not (index < len(line.pieces) and line.pieces[index].encoded_slash)
        for index, segment in enumerate(segments)
    )


class RouteTable:
    """All lines, ready for matching."""

    def __init__(self, rules: Iterable[Rule], defaults: Iterable[Rule]) -> None:
        """`defaults` are the lines for what no other line names.

        Raises:
            ValueError: a malformed pattern, or two lines that one request would meet equally.
        """
        self.rules = tuple(rules)
        self.defaults = tuple(defaults)
        self._lines = sorted(map(_line, self.rules), key=lambda line: line.weights, reverse=True)
        self._default_lines = tuple(map(_line, self.defaults))
        self._refuse_ambiguity()
        self._by_first: dict[str, list[_Line]] = {}
        self._by_folded_first: dict[str, list[_Line]] = {}
        self._any_first: list[_Line] = []
        for line in self._lines:
            first = line.pieces[0].literal if line.pieces else ""
            if first is None:
                self._any_first.append(line)
            else:
                self._by_first.setdefault(first, []).append(line)
                self._by_folded_first.setdefault(first.casefold(), []).append(line)

    def _refuse_ambiguity(self) -> None:
        for one, other in combinations(self._lines, 2):
            if one.shares_requests(other) and one.as_literal_as(other):
                raise ValueError(f"{one.rule.pattern} and {other.rule.pattern} collide")

    def refuse_overlap(self, rule: Rule) -> None:
        """Raise ValueError if a request could meet both `rule` and a line of this table.

        Root-level files and the tree below `/internal` and the like are lines as well.
        """
        new = _line(rule)
        for line in self._lines:
            if _overlap(line.pieces, new.pieces):
                raise ValueError(f"{line.rule.pattern} is the gateway's own; choose another path.")

    def match(self, method: str, path: CanonicalPath, extra: "RouteTable | None" = None) -> Match:
        """The line a request meets. `extra` are rules made in the admin; they only cover
        what no line of this table names.

        Raises:
            NotFound: a slash or case variant of a named route, which ComfyUI does not have
            MethodNotAllowed: the path is named, but for other methods
            BadPath: an encoded slash where the route has none
        """
        if method not in METHODS:
            raise MethodNotAllowed
        if path.trailing_slash:
            raise NotFound
        named = self._named(method, path)
        if named is None and extra is not None:
            named = extra._named(method, path)
        if named is not None:
            return named
        if self._folded(path):
            raise NotFound
        for line in self._default_lines:
            if line.rule.accepts(method):
                _require_plain(line, path)
                return Match(line.rule, line.params(path.segments) or {})
        raise MethodNotAllowed

    def _named(self, method: str, path: CanonicalPath) -> Match | None:
        first = path.segments[0] if path.segments else ""
        other_method = other_spelling = False
        for line in (*self._by_first.get(first, ()), *self._any_first):
            params = line.params(path.segments)
            if params is None:
                continue
            if not line.rule.spelling.allows(path.api):
                other_spelling = True
            elif not line.rule.accepts(method):
                other_method = True
            else:
                _require_plain(line, path)
                return Match(line.rule, params)
        if other_method:
            allowed = self._allowed(path)
            raise MethodNotAllowed(headers={"Allow": ", ".join(allowed)}, allow=allowed)
        if other_spelling:
            raise NotFound
        return None

    def _allowed(self, path: CanonicalPath) -> list[str]:
        methods: set[str] = set()
        for line in self._lines:
            if line.rule.spelling.allows(path.api) and line.params(path.segments) is not None:
                methods |= set(line.rule.methods.split())
        return sorted(methods | ({"HEAD"} if "GET" in methods else set()))

    def _folded(self, path: CanonicalPath) -> bool:
        """Whether the path is a named route but for its letters' case."""
        first = path.segments[0].casefold() if path.segments else ""
        lines = (*self._by_folded_first.get(first, ()), *self._any_first)
        return any(line.params(path.segments, fold=True) is not None for line in lines)


def _line(rule: Rule) -> _Line:
    methods = rule.methods.split()
    if not methods or not _NAMED_METHODS.issuperset(methods):
        raise ValueError(f"{rule.pattern}: methods are some of {' '.join(sorted(_NAMED_METHODS))}")
    return _Line(rule, _pieces(rule.pattern))


def _overlap(one: tuple[_Piece, ...], other: tuple[_Piece, ...]) -> bool:
    """Whether some path matches both patterns, letters' case ignored."""
    if not one or not other:
        return not one and not other
    a, b = one[0], other[0]
    if a.literal is not None and b.literal is not None:
        if a.literal.casefold() != b.literal.casefold():
            return False
    else:
        literal = a.literal if a.literal is not None else b.literal
        check = a.check or b.check
        if literal is not None and check is not None and not check.fullmatch(literal):
            return False
    if a.rest or b.rest:
        return True
    if len(one) == 1 or len(other) == 1:
        return len(one) == len(other)
    return _overlap(one[1:], other[1:])


def _require_plain(line: _Line, path: CanonicalPath) -> None:
    if _names_slash(line, path.segments):
        raise BadPath
