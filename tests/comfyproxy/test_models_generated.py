"""Any models, grants, node definitions and prompts: what a simple reading of the rules says."""

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


@st.composite
def known_and_given(draw: st.DrawFn) -> tuple[KnownModels, frozenset[Model]]:
    """What there is, and what of it was given."""
    lists = st.lists(st.sampled_from(NAMES), unique=True, max_size=4).map(tuple)
    known = KnownModels({folder: draw(lists) for folder in FOLDERS})
    models = [Model(folder, name) for folder in FOLDERS for name in known.folders[folder]]
    return known, frozenset(model for model in models if draw(st.booleans()))


VALUES = st.sampled_from([*NAMES, *EXTRAS, "A.PT", "c.pt", "./b.pt"])
LISTS = st.lists(VALUES, max_size=7)


def allowing(given_models: frozenset[Model]) -> Allowed:
    return lambda folder, name: Model(folder, name) in given_models


def _old(values: list[Any], options: dict[str, Any]) -> list[Any]:
    return [values, options] if options else [values]


def _dynamic(inner: dict[str, Any], key: str) -> list[Any]:
    option = {"key": key, "inputs": {"required": inner}}
    return ["COMFY_DYNAMICCOMBO_V3", {"options": [option, {"key": "none", "inputs": {}}]}]


def _autogrow(raw: Any) -> list[Any]:
    template = {"input": {"required": {"t": raw}}, "prefix": "t", "min": 0, "max": 2}
    return ["COMFY_AUTOGROW_V3", {"template": template}]


OPTIONS = st.fixed_dictionaries(
    {}, optional={"default": VALUES, "multiselect": st.booleans(), "tooltip": st.just("choose")}
)
DEFINITIONS: Any = st.recursive(
    st.builds(_old, LISTS, OPTIONS)
    | st.builds(lambda values, more: ["COMBO", {**more, "options": values}], LISTS, OPTIONS)
    | st.sampled_from([["STRING", {"default": "a cat"}], ["MODEL"], ["INT", {"default": 3}]]),
    lambda inner: (
        st.builds(
            _dynamic,
            st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
            st.sampled_from(["on", *NAMES]),
        )
        | st.builds(_autogrow, inner)
    ),
    max_leaves=4,
)
INPUTS = st.dictionaries(st.sampled_from("xyz"), DEFINITIONS, max_size=3)


def ending_in(text: str, known: KnownModels) -> set[Model]:
    """Every model whose path ends in that, letters' case aside."""
    wanted = text.removeprefix("./").lower()
    return {
        Model(folder, name)
        for folder, names in known.folders.items()
        for name in names
        if wanted and f"/{name.lower()}".endswith(f"/{wanted}")
    }


def readings(text: str, known: KnownModels) -> list[set[Model]]:
    """What a text may name; where it is the end of none, what its own ends may, longest first."""
    found = ending_in(text, known)
    if found or not text.lower().endswith(".pt"):
        return [found]
    parts = text.split("/")
    ends = [ending_in("/".join(parts[index:]), known) for index in range(1, len(parts))]
    return [end for end in ends if end] or [set()]


def meant_by(text: str, known: KnownModels) -> set[Model]:
    return readings(text, known)[0]


def sources_of(values: list[Any], known: KnownModels) -> set[str]:
    """The folders that a list is one of."""
    named = {v for v in values if isinstance(v, str) and is_model(v, known)}
    names = {folder: set(found) for folder, found in known.folders.items()}
    holding = {folder for folder in FOLDERS if named and named <= names[folder]}
    whole = {folder for folder in holding if named == names[folder]}
    parts = {folder for folder in FOLDERS if names[folder] and names[folder] <= named}
    made_up = set().union(*(names[folder] for folder in parts)) == named
    return whole or holding or (parts if named and made_up else set())


def is_model(text: str, known: KnownModels) -> bool:
    listed = {name for names in known.folders.values() for name in names}
    return text in listed or ("." in text and bool(meant_by(text, known)))


def kept(values: list[Any], known: KnownModels, given_models: frozenset[Model]) -> list[Any]:
    sources = sources_of(values, known)
    return [value for value in values if shows(value, sources, known, given_models)]


def shows(
    value: Any, sources: set[str], known: KnownModels, given_models: frozenset[Model]
) -> bool:
    if not isinstance(value, str) or not is_model(value, known):
        return True
    own = {Model(folder, value) for folder in sources if value in known.folders[folder]}
    return bool((own or meant_by(value, known)) & given_models)


def same_but_for_models(
    raw: Any, seen: Any, known: KnownModels, given_models: frozenset[Model]
) -> None:
    """Compare a definition with what is shown of it."""
    if isinstance(raw, list):
        plain = [item for item in raw if not isinstance(item, (dict, list))]
        if plain == raw:
            assert seen == kept(raw, known, given_models)
            return
        named = [item for item in raw if isinstance(item, dict) and "key" in item]
        sources = sources_of([item["key"] for item in named], known)
        raw = [
            item
            for item in raw
            if item not in named or shows(item["key"], sources, known, given_models)
        ]
        assert len(raw) == len(seen)
        for one, other in zip(raw, seen, strict=True):
            same_but_for_models(one, other, known, given_models)
    elif isinstance(raw, dict):
        assert list(raw) == list(seen)
        for key in raw:
            if key not in ("default", "key"):
                same_but_for_models(raw[key], seen[key], known, given_models)
            else:
                assert seen[key] in (raw[key], "")
    else:
        assert seen == raw


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
        assert not is_model(text, known) or meant_by(text, known) & given_models
    assert without_models(info, known, everything) == info


PROMPT_VALUES: Any = st.recursive(
    VALUES | st.sampled_from(["a cat", ["2", 0], ["3", 0]]),
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


def accepts(raw: Any, value: Any, known: KnownModels, given_models: frozenset[Model]) -> bool:
    """Whether an input that is defined like that may hold that."""
    values = raw[0] if isinstance(raw[0], list) else raw[1].get("options") if raw[1:] else None
    listed = [v for v in values or () if isinstance(v, str) and is_model(v, known)]
    sources = sources_of(listed, known)
    bare = unwrapped(value)
    if bare == ["3", 0] and listed:
        return False
    chosen = bare if isinstance(bare, list) else [bare]
    if not all(isinstance(item, str) for item in chosen):
        chosen = []
    for text in every_text(value):
        own = {Model(f, text) for f in sources if text in known.folders[f]}
        meant = own if own and text in chosen else set().union(*readings(text, known))
        if not meant <= given_models:
            return False
    return True


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
