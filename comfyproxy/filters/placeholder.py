"""The picture that stands where one is not shown: a sentence, as SVG. Pure."""

from textwrap import wrap
from typing import Final
from xml.sax.saxutils import escape

_LINE_CHARS: Final = 30
_LINE_HEIGHT: Final = 30


def placeholder(sentence: str) -> bytes:
    """A grey square of 512 with the sentence in its middle."""
    lines = wrap(sentence, _LINE_CHARS)
    top = 256 - _LINE_HEIGHT * (len(lines) - 1) / 2
    spans = "".join(
        f'<tspan x="256" y="{top + number * _LINE_HEIGHT:.0f}">{escape(line)}</tspan>'
        for number, line in enumerate(lines)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512" width="512" height="512">'
        '<rect width="512" height="512" fill="#2a2a2e"/>'
        '<text fill="#d8d8de" font-family="sans-serif" font-size="24" text-anchor="middle"'
        f' dominant-baseline="middle">{spans}</text></svg>'
    ).encode()
