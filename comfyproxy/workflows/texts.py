"""What the page itself replaces in texts when a prompt is queued.

After ComfyUI_frontend 1.27.10: formatUtil.ts (processDynamicPrompt), searchAndReplace.ts,
dynamicPrompts.ts, saveImageExtraOutput.ts. Left as they are, for ComfyUI fills them in itself:
`%width%`, `%year%` and so on in a prefix, wildcards, `embedding:name`.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.values import javascript_number

_MAX_BRACES: Final = 20
# Characters looked through for choices in one workflow.
MAX_CHARS: Final = 1_000_000
# What a text with nothing to choose, to leave out or to unescape lacks.
_SPECIAL: Final = re.compile(r"[{\\]|/[*/]")
_COMMENT: Final = re.compile(r"/[*/]")
_LINE_END: Final = re.compile("[\n\r\u2028\u2029]")
_ESCAPED: Final = re.compile(r"\\([{}|])")
_REPLACED: Final = re.compile(r"%([^%]+)%")
_NOT_IN_NAMES: Final = re.compile(r'[/?<>\\:*|"\x00-\x1F\x7F]')

# Classes whose filename_prefix takes in other nodes' values (saveImageExtraOutput.ts of
# 1.27.10), and those that newer pages treat alike (1.58.1).
TAKES_VALUES: Final = frozenset(
    {
        "SaveImage",
        "SaveAnimatedWEBP",
        "SaveWEBM",
        "SaveAudio",
        "SaveGLB",
        "SaveAnimatedPNG",
        "CLIPSave",
        "VAESave",
        "ModelSave",
        "LoraSave",
        "SaveLatent",
    }
)
MAY_TAKE_VALUES: Final = TAKES_VALUES | frozenset(
    {
        "SaveImageAdvanced",
        "SaveSVGNode",
        "SaveVideo",
        "SaveAudioMP3",
        "SaveAudioOpus",
        "SaveAudioAdvanced",
        "Save3DAdvanced",
        "SaveGaussianSplat",
        "SavePointCloud",
    }
)

Lookup = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class _Where:
    called: str
    node_id: str

    def refusal(self, what: str) -> Unconvertible:
        return Unconvertible(f"A text of “{shown(self.called)}” {what}.", self.node_id)


class Chooser:
    """Makes the choices of dynamic prompts in one workflow."""

    def __init__(self) -> None:
        self._left = MAX_CHARS

    def chosen(self, text: str, called: str, node_id: str) -> str:
        """A text with dynamic prompts: comments go, of each `{a|b}` one choice is taken at
        random, anew with every call, as the page does it with every prompt.

        Raises:
            Unconvertible: too much of it, or braces within braces too deep
        """
        if not _SPECIAL.search(text):
            return text
        return self._chosen(text, 0, _Where(called, node_id))

    def _chosen(self, text: str, depth: int, where: _Where) -> str:
        self._left -= len(text)
        if depth > _MAX_BRACES or self._left < 0:
            raise where.refusal("holds too many choices within choices")
        text, at, result = _without_comments(text), 0, list[str]()
        while at < len(text):
            if text[at] == "\\":
                result.append(_escaped(text, at, where))
                at += 2
            elif text[at] == "{":
                choices, at = _choices(text, at + 1, where)
                result.append(self._chosen(secrets.choice(choices), depth + 1, where))
            else:
                result.append(text[at])
                at += 1
        return _ESCAPED.sub(r"\1", "".join(result))


def _without_comments(text: str) -> str:
    """The text without `/* … */` and `// …`; in one go, however many there are."""
    kept, start, at, last = list[str](), 0, 0, text.rfind("*/")
    while (found := _COMMENT.search(text, at)) is not None:
        at = found.start()
        if found[0] == "//":
            line = _LINE_END.search(text, at)
            end = line.start() if line else len(text)
        elif at + 2 <= last:
            end = text.index("*/", at + 2) + 2
        else:
            at += 1  # never closed
            continue
        kept.append(text[start:at])
        start = at = end
    return "".join([*kept, text[start:]])


def _escaped(text: str, at: int, where: _Where) -> str:
    if at + 1 == len(text):
        # The page would send the word "undefined" behind it.
        raise where.refusal("ends with a backslash")
    return text[at : at + 2]


def _choices(text: str, at: int, where: _Where) -> tuple[list[str], int]:
    """What stands between bars up to the brace that closes, and where that ends."""
    choices: list[list[str]] = [[]]
    depth = 0
    while at < len(text):
        char = _escaped(text, at, where) if text[at] == "\\" else text[at]
        at += len(char)
        if char == "}" and depth == 0:
            break
        if char == "|" and depth == 0:
            choices.append([])
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        choices[-1].append(char)
    return ["".join(choice) for choice in choices], at


def with_values(text: str, lookup: Lookup, called: str, node_id: str) -> str:
    """A text with `%Node.widget%` replaced by what `lookup` says; what it does not know stays.

    Raises:
        Unconvertible: a date, which is the browser's
    """

    def replaced(match: re.Match[str]) -> str:
        parts = match[1].split(".")
        if len(parts) == 2:
            try:
                value = lookup(*parts)
            except Unconvertible as error:
                raise (error if error.node_id else error.at(node_id)) from None
            return match[0] if value is None else _NOT_IN_NAMES.sub("_", value)
        if parts[0].startswith("date:"):
            raise Unconvertible(
                f"“{shown(called)}” names its files by the browser's date ({shown(match[0])});"
                " ComfyUI itself fills in %year%-%month%-%day%.",
                node_id,
            )
        return match[0]

    return _REPLACED.sub(replaced, text)


def as_text(value: Any) -> str | None:
    """A value as JavaScript writes it into a text; None where that takes more than this."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, (int, float)):
        return None
    number = javascript_number(value)
    text = str(number)
    return None if number is None or "e" in text else text
