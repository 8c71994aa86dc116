"""Which texts name a model, and which models a caller may know of.

A name is compared as ComfyUI opens it: normalised like a path below the model folder's
root, so `./m`, `/m`, `x/../m` and `a\\m` are all `m` (NOTES: newer combos are not checked
upstream at all).
"""

import posixpath
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Final, NamedTuple

from accounts.grants import current_folder

EMBEDDINGS: Final = "embeddings"
# Folders that `GET /models` lists but that hold no models: Python files, YAML and fonts.
NOT_MODELS: Final = frozenset({"custom_nodes", "configs", "fonts"})
MODEL_SUFFIXES: Final = (
    ".safetensors",
    ".sft",
    ".ckpt",
    ".pt",
    ".pt2",
    ".pth",
    ".bin",
    ".gguf",
    ".onnx",
    ".pkl",
)
# What lies in model folders beside models (custom nodes' folders list every file): a name with
# such an ending, or with none, is an ordinary word. It names a model only in a list of models.
_ORDINARY_SUFFIXES: Final = (
    *(".bmp", ".cfg", ".csv", ".gif", ".html", ".ini", ".jpeg", ".jpg", ".json", ".log", ".md"),
    *(".mp3", ".mp4", ".otf", ".png", ".py", ".svg", ".toml", ".ttf", ".txt", ".wav", ".webp"),
    *(".yaml", ".yml"),
)
# What a list of such names may hold beside them.
_NO_CHOICE: Final = frozenset({"None", "none", "[None]", ""})
LORAS: Final = "loras"
# `embedding:NAME`, spaces after the colon included; the name ends at white space (ComfyUI
# 0.3.64, sd1_clip.py). Read more widely than upstream does: any case, any place.
_EMBEDDING: Final = re.compile(r"embedding:\s*((?:(?!embedding:)\S)*)", re.IGNORECASE)
# What may end the name before white space does: a weight, a bracket, another tokenizer's marks.
_NAME_ENDS: Final = frozenset(":()<>[]{}|,;")
# The name up to white space, whole: with `..` in it, any part of it may be what is opened.
_RUN: Final = re.compile(r"embedding:\s*(\S*)", re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"[/\\]|embedding:", re.IGNORECASE)
_MARKS: Final = re.compile(r"[:()<>\[\]{}|,;'\"]")
# `<lora:NAME:1>`, which custom nodes parse.
_LORA_TAG: Final = re.compile(r"<\s*lora:\s*([^:<>]+)", re.IGNORECASE)
# Folders whose files are named without their extension too.
_STEM_FOLDERS: Final = frozenset({EMBEDDINGS, LORAS})
_STREAM: Final = "::$DATA"
# How many of a name's marks may end it.
_MAX_CUTS: Final = 64
# How many folders of a long path are looked at, from its end.
_MAX_TAIL: Final = 12

_NOWHERE: Final[frozenset[str]] = frozenset()

# What inputs of core's nodes, and of others that follow them, are called by the folder that
# they choose from: tells apart folders that list the same names.
_FOLDER_OF_INPUT: Final = {
    "ckpt_name": "checkpoints",
    "clip_name": "text_encoders",
    "control_net_name": "controlnet",
    "gligen_name": "gligen",
    "hypernetwork_name": "hypernetworks",
    "lora_name": LORAS,
    "style_model_name": "style_models",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
}

Allowed = Callable[[str, str], bool]
"""(folder, model name) → whether the caller may use it."""


def everything(folder: str, name: str) -> bool:
    """For holders of can_view_all_comfyui_items."""
    return True


def nothing(folder: str, name: str) -> bool:
    """For whoever was given none."""
    return False


def normal_name(name: str) -> str:
    """One spelling per file: forward slashes, no dot segments, never above the root, and
    without what nodes, Windows or macOS drop or take for the same."""
    name = name.strip().replace("\\", "/")
    if not name.isascii():
        # macOS opens either form of an accent (and lists its own).
        name = unicodedata.normalize("NFC", name)
    if "/" in name:
        name = posixpath.normpath("/" + name).lstrip("/")
    name = name.rstrip(" ./")
    # Windows: the file's own data, under another name.
    return name[: -len(_STREAM)].rstrip(" .") if name.upper().endswith(_STREAM) else name


def _spellings(text: str) -> tuple[str, ...]:
    """What a text may be as a path: on Linux and macOS a back-slash is a letter, and so may
    stand before dots without their climbing."""
    name = normal_name(text).casefold()
    if "\\" not in text or ".." not in text:
        return (name,)
    return tuple(dict.fromkeys((name, normal_name(text.replace("\\", "\0")).casefold())))


def is_plain(name: str) -> bool:
    """Whether a listed name is an ordinary word or the name of an ordinary file."""
    stem, dot, _ = name.rpartition("/")[2].rpartition("\\")[2].rpartition(".")
    return not (dot and stem) or name.lower().endswith(_ORDINARY_SUFFIXES)


class Model(NamedTuple):
    """A file of a model folder."""

    folder: str
    name: str


@dataclass(frozen=True)
class KnownModels:
    """Every model the backend has, found by any spelling of its name or by its base name."""

    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _by_name: dict[str, tuple[Model, ...]] = field(init=False, repr=False, compare=False)
    # What `find` answers for names spelt as ComfyUI lists them: lists of nodes hold thousands.
    _listed: dict[str, tuple[Model, ...]] = field(init=False, repr=False, compare=False)
    # Of each folder its names, of each name the folders that list it, letter by letter.
    _names: dict[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    _holders: dict[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    # Of ordinary words, what each may name where models belong.
    _plain: dict[str, tuple[Model, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, tuple[Model, ...]] = {}
        plain: dict[str, tuple[Model, ...]] = {}
        holders: dict[str, frozenset[str]] = {}
        keys: dict[str, str] = {}
        own = {name: names for name, names in self.folders.items() if name not in NOT_MODELS}
        for folder, names in own.items():
            alone = frozenset({folder})
            for name in names:
                held = holders.get(name)
                holders[name] = alone if held is None else held | alone
                only = (Model(folder, name),)
                tails = _tails(normal_name(name).casefold())
                index = by_name
                if is_plain(name):
                    index = plain
                else:
                    keys[name] = tails[0]
                for tail in tails:
                    index[tail] = index.get(tail, ()) + only
        found = {
            "_by_name": by_name,
            "_plain": plain,
            "_listed": {name: by_name[key] for name, key in keys.items()},
            "_names": {name: frozenset(own[name]) for name in own},
            "_holders": holders,
        }
        for field_name, value in found.items():
            object.__setattr__(self, field_name, value)

    @cached_property
    def _by_stem(self) -> dict[tuple[str, str], tuple[Model, ...]]:
        """Models of folders whose files are named without their extension, too."""
        found: dict[tuple[str, str], tuple[Model, ...]] = {}
        for folder in _STEM_FOLDERS:
            for name in self.folders.get(folder, ()):
                for tail in _tails(normal_name(name).casefold()):
                    for stem in _stems(tail):
                        known = found.get((folder, stem), ())
                        found[folder, stem] = (*known, Model(folder, name))
        return found

    @property
    def is_ready_for_mentions(self) -> bool:
        """Whether `find_embeddings` has been asked before; the first time takes longer."""
        return "_by_stem" in self.__dict__

    def find(self, text: str) -> tuple[Model, ...]:
        """The models that a whole text may name; empty for any other text.

        Of a longer path with a model file's extension (an absolute one, one with the model
        folder's name in it) the longest end that is known counts.
        """
        listed = self._listed.get(text)
        if listed is not None:
            return listed
        if self._ends_otherwise(text):
            return ()
        return _all(map(self._longest, _spellings(text)))

    def _longest(self, key: str) -> tuple[Model, ...]:
        found = self._by_name.get(key, ())
        if not found and key.endswith(MODEL_SUFFIXES):
            found = _first(self._by_name.get(tail) for tail in _tails(key))
        return found

    def find_plain(self, text: str, folders: Collection[str]) -> tuple[Model, ...]:
        """The models that an ordinary word may name where models of these folders belong; of
        all, where none is named."""
        found = _all(self._plain.get(key) for key in _spellings(text)) if self._plain else ()
        return tuple(model for model in found if not folders or model.folder in folders)

    def _ends_otherwise(self, text: str) -> bool:
        """Whether no model is called like the end of the text: quickly told, of nearly all."""
        if "\\" in text or "::" in text or not text.isascii():
            return False
        begin = text.rfind("/") + 1
        end = text[begin:] if begin else text.lstrip()
        end = end.rstrip().rstrip(" .")
        # Nothing may be left of it, as of `x/..`: then something before it counts.
        return end != "" and end.casefold() not in self._by_name

    def find_all(self, text: str) -> tuple[Model, ...]:
        """As `find`, but of a longer path every end that is known: for who has to be sure."""
        found = self.find(text)
        if not found or text in self._listed:
            return found
        return _all(
            self._by_name.get(key) or _all(self._by_name.get(tail) for tail in _tails(key))
            for key in _spellings(text)
        )

    def folder(self, name: str) -> str | None:
        """A folder as it is listed, by that name or a former one; None: there is none."""
        return next((n for n in (name, current_folder(name)) if n in self.folders), None)

    def is_listed(self, name: str) -> bool:
        """Whether some folder lists exactly that name."""
        return name in self._holders

    def named(self, names: Set[str], *, plain: bool = True) -> frozenset[str]:
        """Those members of a list that name models. A word without a dot in it (a type, such
        as `MODEL`) only as a folder lists it; ordinary ones only if all of them are listed, and
        `plain` says that they may at all."""
        listed = frozenset(self._holders.keys() & names)
        ordinary = frozenset(filter(is_plain, listed)) if self._plain else _NOWHERE
        if ordinary and not (plain and _NO_CHOICE.issuperset(names - listed)):
            listed -= ordinary
        if len(listed) == len(names) or not (listed or "." in "".join(names)):
            return listed
        return listed.union(n for n in names - listed if "." in n and self.find(n))

    def holds(self, folder: str, name: str) -> bool:
        """Whether the folder lists exactly that name."""
        return folder in self._holders.get(name, ())

    def sources(self, names: Collection[str]) -> frozenset[str]:
        """The folders that a list with these names of models is a list of; none where names
        are spelt otherwise, or come from parts of several folders.

        Every folder that lists all of them, but if they are all that some list, then those
        only: a folder with one model in it is not any larger one's. Else the folders that are
        in the list as a whole, if these make it up (`checkpoints` and `diffusion_models`).
        """
        wanted = frozenset(names)
        held = [self._holders.get(name, _NOWHERE) for name in wanted]
        if not held or not all(held):
            return frozenset()
        common = held[0].intersection(*held)
        if common:
            whole = {name for name in common if len(self._names[name]) == len(wanted)}
            return frozenset(whole) or common
        parts = {name for name, own in self._names.items() if own and own <= wanted}
        return frozenset(parts) if all(map(parts.intersection, held)) else frozenset()

    def find_embeddings(self, text: str) -> Iterator[tuple[str, tuple[Model, ...]]]:
        """(name, models) for every `embedding:` or `<lora:` mention in a free text."""
        for folder, names in _mentions(text):
            for name in sorted(names):
                yield name, self._bare(name, folder)

    def mentions_unknown(self, text: str) -> bool:
        """Whether a free text mentions an embedding or a LoRA that is not known."""
        return any(
            names and not any(self._bare(name, folder) for name in names)
            for folder, names in _mentions(text)
        )

    def _bare(self, name: str, folder: str) -> tuple[Model, ...]:
        """Models of one folder by a name that may lack its extension. Upstream takes an
        absolute path too, so of a longer one every known end counts."""
        key = normal_name(name).casefold()
        found = self._by_stem.get((folder, key), ())
        found = found or _all(self._by_stem.get((folder, tail)) for tail in _tails(key))
        return found or (self._like(key) if folder == LORAS else ())

    @cached_property
    def _lora_words(self) -> tuple[str, list[tuple[str, Model]]]:
        """Paths of LoRAs as `_like` compares them, all together and each."""
        each = [(_words(name), Model(LORAS, name)) for name in self.folders.get(LORAS, ())]
        return "\n".join(path for path, _ in each), each

    def _like(self, name: str) -> tuple[Model, ...]:
        """The LoRAs that nodes find by parts of their names (rgthree's: any part; Impact
        Pack's: the end; prompt-control's: all words)."""
        together, each = self._lora_words
        words = _words(name).split()
        if not words or not all(word in together for word in words):
            return ()
        return tuple(model for path, model in each if all(word in path for word in words))


def _mentions(text: str) -> Iterator[tuple[str, set[str]]]:
    """(folder, the names that it may mean) of each mention of a model in a free text."""
    # Nearly all texts are told by the letters that they lack.
    if ":" not in text:
        return
    if "embedding:" in text.lower():
        # ComfyUI's own marks for escaped brackets (sd1_clip.py, unescape_important).
        text = text.replace("\0\1", ")").replace("\0\2", "(")
        for match in _EMBEDDING.finditer(text):
            yield EMBEDDINGS, _readings(match[1])
        for match in _RUN.finditer(text) if ".." in text else ():
            yield from ((EMBEDDINGS, names) for names in _climbing(match[1]))
    if "<" in text:
        for match in _LORA_TAG.finditer(text):
            yield LORAS, {match[1]}


def _climbing(run: str) -> Iterator[set[str]]:
    """What a name with `..` in it may open: the last part that is left of it is one of its
    parts, whichever of its marks are read as letters."""
    if ".." not in run:
        return
    # Escaped brackets are no separators.
    plain = run.replace("\\(", "(").replace("\\)", ")")
    parts = {*_SEPARATORS.split(run), *_SEPARATORS.split(plain)}
    for part in sorted(parts):
        cuts = {part[: mark.start()] for mark in islice(_MARKS.finditer(part), _MAX_CUTS)}
        unescaped = {cut.replace("\\(", "(").replace("\\)", ")").strip(",") for cut in cuts}
        names = (_readings(part) | unescaped) - {"", ".", ".."}
        if names:
            yield names


def _words(path: str) -> str:
    return path.replace("_", " ").replace("\\", "/").casefold()


def _tails(name: str) -> list[str]:
    """What a model is found by: its path and every end of it. A bare name is what people
    write; for embeddings every sub folder is a root of its own."""
    if "/" not in name:
        return [name]
    parts = name.split("/")[-_MAX_TAIL:]
    return ["/".join(parts[index:]) for index in range(len(parts))]


def likelier(folders: frozenset[str], input_name: str) -> frozenset[str]:
    """Of several folders that a list fits equally well the one that its input is called after."""
    if len(folders) < 2:
        return folders
    named = _FOLDER_OF_INPUT.get(input_name.rstrip("0123456789"))
    return frozenset({named}) if named in folders else folders


def _first(found: Iterable[tuple[Model, ...] | None]) -> tuple[Model, ...]:
    return next((models for models in found if models), ())


def _all(found: Iterable[tuple[Model, ...] | None]) -> tuple[Model, ...]:
    return tuple(dict.fromkeys(model for models in found for model in models or ()))


def _stems(name: str) -> set[str]:
    """A name as it is, and without a model file's extension."""
    stem, dot, suffix = name.rpartition(".")
    return {name, stem} if f"{dot}{suffix}" in MODEL_SUFFIXES else {name}


def _readings(run: str) -> set[str]:
    """The names that `run`, what follows `embedding:` up to white space, may stand for.

    Escaped brackets belong to the name, an open one ends it, and so may a weight.
    """
    if _NAME_ENDS.isdisjoint(run):
        return {run} - {""}
    masked = run.replace("\\(", "\0").replace("\\)", "\1")
    until_bracket = masked.partition("(")[0].partition(")")[0]
    cuts = {masked, until_bracket.rpartition(":")[0]}
    cuts |= {masked.partition(mark)[0] for mark in _NAME_ENDS}
    # A comma before the name is dropped, so the cut at the first one may be nothing.
    cuts |= {masked.strip(",").partition(",")[0]}
    names = {cut.replace("\0", "(").replace("\1", ")").strip(",") for cut in cuts}
    return names - {""}


def allowed_names(folder: str, names: Iterable[str], allowed: Allowed) -> list[str]:
    """The names of one folder that the caller may know of."""
    return [name for name in names if folder in NOT_MODELS or allowed(folder, name)]


def choice_name(item: Any) -> str | None:
    """What a member of a list to choose from is called: itself, or what an object of it says
    (`key`: dynamic combos of newer ComfyUI; `content`, `value`: custom nodes'). None: nothing."""
    if isinstance(item, dict):
        item = item.get("key") or item.get("content") or item.get("value")
    return item if isinstance(item, str) else None


def looks_like_model(text: str) -> bool:
    """Whether a whole text, however spelt, has a model file's extension: if it is unknown, the
    list may be old."""
    if "." not in text:
        return False
    lower = text.lower()
    return lower.endswith(MODEL_SUFFIXES) or (
        any(suffix in lower for suffix in MODEL_SUFFIXES)
        and normal_name(lower).endswith(MODEL_SUFFIXES)
    )


def is_hidden(text: str, known: KnownModels, allowed: Allowed) -> bool:
    """Whether a text names a model, and every model it may name is hidden from the caller."""
    found = known.find(text)
    return bool(found) and not any(allowed(model.folder, model.name) for model in found)
