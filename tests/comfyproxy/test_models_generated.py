"""Any models, grants, node definitions and prompts: what a simple reading of the rules says."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfyproxy.filters.modellists import without_models
from comfyproxy.filters.models import Allowed, KnownModels, Model, everything
from comfyproxy.prompts.specs import node_spec
from comfyproxy.prompts.uses import hidden_models

FOLDERS = ("checkpoints", "loras", "vae")
NAMES = ("a.pt", "b.pt", "s/a.pt", "s/b.pt", "S/c.pt", "d")
EXTRAS = ("None", "[None]", "Baked VAE", "default", "pixel_space", "euler", "", None, 7, 1.5)
# What a list of ordinary words may hold beside them.
NO_CHOICE = {"None", "[None]", ""}


@st.composite
def known_and_given(draw: st.DrawFn) -> tuple[KnownModels, frozenset[Model]]:
    """What there is, and what of it was given."""
    lists = st.lists(st.sampled_from(NAMES), unique=True, max_size=4).map(tuple)
    known = KnownModels({folder: draw(lists) for folder in FOLDERS})
    models = [Model(folder, name) for folder in FOLDERS for name in known.folders[folder]]
    return known, frozenset(model for model in models if draw(st.booleans()))


VALUES = st.sampled_from(
    [*NAMES, *EXTRAS, "A.PT", "c.pt", "./b.pt", "s\\a.pt", "/a.pt", "x/../b.pt"]
)
LISTS = st.lists(VALUES, max_size=7)


def allowing(given_models: frozenset[Model]) -> Allowed:
    return lambda folder, name: Model(folder, name) in given_models


def _old(values: list[Any], options: dict[str, Any]) -> list[Any]:
    return [values, options] if options else [values]


def _dynamic(inner: dict[str, Any], key: str, group: str = "required") -> list[Any]:
    option = {"key": key, "inputs": {group: inner}}
    return ["COMFY_DYNAMICCOMBO_V3", {"options": [option, {"key": "none", "inputs": {}}]}]


def _slot(inner: dict[str, Any], group: str) -> list[Any]:
    return ["COMFY_DYNAMICSLOT_V3", {"slotType": "MODEL", "inputs": {group: inner}}]


def _autogrow(raw: Any) -> list[Any]:
    template = {"input": {"required": {"t": raw}}, "prefix": "t", "min": 0, "max": 2}
    return ["COMFY_AUTOGROW_V3", {"template": template}]


GROUPS = st.sampled_from(["required", "optional"])
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "default": VALUES | st.lists(VALUES, max_size=3),
        "multiselect": st.booleans(),
        "tooltip": st.just("choose"),
    },
)
DEFINITIONS: Any = st.recursive(
    st.builds(_old, LISTS, OPTIONS)
    | st.builds(lambda values, more: ["COMBO", {**more, "options": values}], LISTS, OPTIONS)
    | st.builds(
        lambda f: ["COMBO", {"remote": {"route": f"/models/{f}"}}], st.sampled_from(FOLDERS)
    )
    | st.sampled_from([["STRING", {"default": "a cat"}], ["MODEL"], ["INT", {"default": 3}]]),
    lambda inner: (
        st.builds(
            _dynamic,
            st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
            st.sampled_from(["on", *NAMES]),
            GROUPS,
        )
        | st.builds(_slot, st.dictionaries(st.sampled_from("pq"), inner, max_size=2), GROUPS)
        | st.builds(_autogrow, inner)
    ),
    max_leaves=4,
)
INPUTS = st.dictionaries(st.sampled_from("xyz"), DEFINITIONS, max_size=3)


def plain(name: str) -> bool:
    return "." not in name


def normal(text: str) -> str:
    path = text.replace("\\", "/").lower()
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def ending_in(text: str, known: KnownModels, *, words: bool = False) -> set[Model]:
    """Every model whose path ends in that, letters' case aside; ordinary words only if asked."""
    wanted = normal(text)
    return {
        Model(folder, name)
        for folder, names in known.folders.items()
        for name in names
        if wanted and plain(name) is words and f"/{name.lower()}".endswith(f"/{wanted}")
    }


def readings(text: str, known: KnownModels) -> list[set[Model]]:
    """What a text may name; where it is the end of none, what its own ends may, longest first."""
    found = ending_in(text, known)
    if found or not text.lower().endswith(".pt"):
        return [found]
    parts = normal(text).split("/")
    ends = [ending_in("/".join(parts[index:]), known) for index in range(1, len(parts))]
    return [end for end in ends if end] or [set()]


def meant_by(text: str, known: KnownModels) -> set[Model]:
    return readings(text, known)[0]


def listed_names(known: KnownModels) -> set[str]:
    return {name for names in known.folders.values() for name in names}


def named_in(values: list[Any], known: KnownModels) -> set[str]:
    """Which members of a list name models."""
    texts = {value for value in values if isinstance(value, str)}
    listed = texts & listed_names(known)
    only_texts = len([value for value in values if isinstance(value, str)]) == len(values)
    if not (only_texts and texts - listed <= NO_CHOICE):
        listed = {name for name in listed if not plain(name)}
    return listed | {text for text in texts if "." in text and meant_by(text, known)}


def sources_of(values: list[Any], known: KnownModels) -> set[str]:
    """The folders that a list is one of."""
    named = named_in(values, known)
    names = {folder: set(found) for folder, found in known.folders.items()}
    holding = {folder for folder in FOLDERS if named and named <= names[folder]}
    whole = {folder for folder in holding if named == names[folder]}
    parts = {folder for folder in FOLDERS if names[folder] and names[folder] <= named}
    made_up = set().union(*(names[folder] for folder in parts)) == named
    return whole or holding or (parts if named and made_up else set())


def kept(values: list[Any], known: KnownModels, given_models: frozenset[Model]) -> list[Any]:
    sources = sources_of(values, known)
    named = named_in(values, known)
    if not sources:
        named = {name for name in named if not plain(name)}
    return [
        value
        for value in values
        if value not in named or shows(value, sources, known, given_models)
    ]


def shows(
    value: str, sources: set[str], known: KnownModels, given_models: frozenset[Model]
) -> bool:
    """Whether what names a model is shown."""
    own = {Model(folder, value) for folder in sources if value in known.folders[folder]}
    return bool((own or meant_by(value, known)) & given_models)


def default_shown(
    value: Any, sources: set[str], known: KnownModels, given_models: frozenset[Model]
) -> Any:
    """A default, or several."""
    if isinstance(value, list):
        if not sources:
            return kept(value, known, given_models)
        gone = object()
        each = [default_shown(item, sources, known, given_models) for item in value]
        pairs = zip(value, each, strict=True)
        found = [gone if new == "" and old != "" else old for old, new in pairs]
        return [item for item in found if item is not gone]
    names_one = isinstance(value, str) and (
        bool(meant_by(value, known)) or any(value in known.folders[f] for f in sources)
    )
    return "" if names_one and not shows(value, sources, known, given_models) else value


def same_but_for_models(
    raw: Any,
    seen: Any,
    known: KnownModels,
    given_models: frozenset[Model],
    sources: set[str] = frozenset(),  # type: ignore[assignment]
) -> None:
    """Compare a definition with what is shown of it. `sources`: of the list before options."""
    if isinstance(raw, list):
        members = [item for item in raw if not isinstance(item, (dict, list))]
        if members == raw:
            assert seen == kept(raw, known, given_models)
            return
        named = [item for item in raw if isinstance(item, dict) and "key" in item]
        keys = {item["key"] for item in named if not plain(item["key"])}
        of_keys = sources_of([*keys, None], known)
        raw = [
            item
            for item in raw
            if item not in named
            or not meant_by(item["key"], known)
            or shows(item["key"], of_keys, known, given_models)
        ]
        assert len(raw) == len(seen)
        before: set[str] = set()
        for one, other in zip(raw, seen, strict=True):
            same_but_for_models(one, other, known, given_models, before)
            if isinstance(one, list):
                before = sources_of(one, known) or before
    elif isinstance(raw, dict):
        assert list(raw) == list(seen)
        if isinstance(raw.get("options"), list) and not named_options(raw["options"]):
            sources = sources_of(raw["options"], known) or sources
        for key in raw:
            if key == "default":
                assert seen[key] == default_shown(raw[key], sources, known, given_models)
            elif key == "key":
                assert seen[key] in (raw[key], "")
            else:
                same_but_for_models(raw[key], seen[key], known, given_models)
    else:
        assert seen == raw


def named_options(options: list[Any]) -> bool:
    return any(isinstance(option, dict) for option in options)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


@settings(max_examples=200)
@given(INPUTS, known_and_given())
def test_every_list_keeps_what_was_given_and_all_else_in_its_order(
    inputs: dict[str, Any], models: tuple[KnownModels, frozenset[Model]]
) -> None:
    known, given_models = models
    info = {"input": {"required": inputs}, "name": "N", "output": ["MODEL"]}
    shown = without_models(info, known, allowing(given_models))
    same_but_for_models(info, shown, known, given_models)
    # What nobody gave under any name is nowhere, neither in lists nor as a default.
    for text in texts(shown["input"]):
        assert not meant_by(text, known) or meant_by(text, known) & given_models
    assert without_models(info, known, everything) == info


MENTIONS = st.sampled_from(
    [
        "embedding:a",
        "(embedding:s/a.pt:1.2)",
        "<lora:b:1>",
        "a cat <lora:s/b.pt>",
        "embedding:x/../b",
    ]
)
PROMPT_VALUES: Any = st.recursive(
    VALUES | MENTIONS | st.sampled_from(["a cat", ["2", 0], ["3", 0]]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.fixed_dictionaries({"__value__": inner})
        | st.dictionaries(st.sampled_from([*NAMES, "k"]), inner, max_size=2)
    ),
    max_leaves=4,
)
LINKED = {
    "2": {"class_type": "PrimitiveString", "inputs": {"value": "a cat"}},
    "3": {"class_type": "Custom", "inputs": {}},
}


def unwrapped(value: Any) -> Any:
    while isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    return value


def mentioned(text: str, known: KnownModels) -> set[Model]:
    """What a free text mentions. There is no folder of embeddings here."""
    found = re.findall(r"<lora:([^:>]+)", text)
    names = [name if name.endswith(".pt") else f"{name}.pt" for name in found]
    loras = KnownModels({"loras": known.folders["loras"]})
    return {
        model
        for name in names
        for model in ending_in(name, loras) or set().union(*readings(name, loras))
    }


def accepts(raw: Any, value: Any, known: KnownModels, given_models: frozenset[Model]) -> bool:
    """Whether an input that is defined like that may hold that."""
    values = raw[0] if isinstance(raw[0], list) else raw[1].get("options") if raw[1:] else None
    named, sources = named_in(values or [], known), sources_of(values or [], known)
    is_model_list = bool(sources or {name for name in named if not plain(name)})
    bare = unwrapped(value)
    if bare == ["3", 0] and is_model_list:
        return False
    chosen = bare if isinstance(bare, list) else [bare]
    if not all(isinstance(item, str) for item in chosen):
        chosen = []
    for text in [] if is_link(bare) else every_text(value):
        own = {Model(f, text) for f in sources if text in known.folders[f]}
        if own and text in chosen:
            meant = own
        else:
            meant = set().union(*readings(text, known)) | mentioned(text, known)
            if is_model_list:
                words = ending_in(text, known, words=True)
                meant |= {model for model in words if not sources or model.folder in sources}
        if not meant <= given_models:
            return False
    return True


def is_link(value: Any) -> bool:
    return value in (["2", 0], ["3", 0])


def every_text(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in every_text(item)]
    if isinstance(value, list):
        return [text for item in value for text in every_text(item)]
    return [value] if isinstance(value, str) else []


@st.composite
def inputs_with_values(draw: st.DrawFn) -> tuple[list[Any], Any]:
    """A definition and what a prompt holds there; mostly something that was chosen from it."""
    values = draw(LISTS | st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
    raw = draw(
        st.builds(_old, st.just(values), OPTIONS)
        | st.just(["COMBO", {"options": values}])
        | st.just(["STRING", {}])
    )
    chosen = st.sampled_from(values) if values else st.just("None")
    value = draw(
        chosen
        | st.lists(chosen, max_size=2)
        | st.fixed_dictionaries({"__value__": chosen})
        | PROMPT_VALUES
    )
    return raw, value


@settings(max_examples=200)
@given(inputs_with_values(), known_and_given(), st.booleans())
def test_a_prompt_is_accepted_exactly_if_all_that_it_may_mean_was_given(
    defined: tuple[list[Any], Any], models: tuple[KnownModels, frozenset[Model]], nested: bool
) -> None:
    (raw, value), (known, given_models) = defined, models
    input_info, name = (_dynamic({"p": raw}, "on"), "x.p") if nested else (raw, "x")
    specs = {"Node": node_spec({"input": {"required": {"x": input_info}}}, known, frozenset())}
    graph = {"1": {"class_type": "Node", "inputs": {name: value}}, **LINKED}
    found = list(hidden_models(graph, specs, known, allowing(given_models)))
    assert (found == []) is accepts(raw, value, known, given_models)
    assert list(hidden_models(graph, specs, known, everything)) == []
