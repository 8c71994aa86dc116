"""Reads a node class's definition in `GET /object_info` as the page does.

After ComfyUI_frontend 1.27.10: litegraphService.ts, nodeDefOrderingUtil.ts, useIntWidget.ts,
useComboWidget.ts, uploadImage.ts, uploadAudio.ts, load3d.ts, saveMesh.ts,
previewAny.ts; compared with the page for every class of ComfyUI 0.3.64. Types that only later
versions know after 1.58.1, dynamicWidgets.ts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from comfyproxy.filters.definitions import Definition
from comfyproxy.workflows.errors import Unconvertible, shown
from comfyproxy.workflows.shapes import Growing, Kind, Part, Shape, Socket, Widget

_SIMPLE: Final = {
    "INT": Kind.INT,
    "FLOAT": Kind.FLOAT,
    "BOOLEAN": Kind.BOOLEAN,
    "STRING": Kind.TEXT,
    "COMBO": Kind.COMBO,
    "COLOR": Kind.COLOR,
    "COMFY_DYNAMICCOMBO_V3": Kind.BRANCHES,
}
_GROWING, _MATCHING = "COMFY_AUTOGROW_V3", "COMFY_MATCHTYPE_V3"
# Types for which some version of the page has a widget whose value cannot be told from the
# file (widgets.ts and the extensions of 1.27.10 and 1.58.1); so begin those of dynamic inputs.
_OPAQUE: Final = frozenset(
    {
        "AUDIOUPLOAD", "AUDIO_RECORD", "AUDIO_UI", "BOUNDING_BOX", "BOUNDING_BOXES",
        "CAMERA_ANGLE_VIEW", "CAMERA_INFO_STATE", "CHART", "COLORS", "COMPOSITOR", "CURVE",
        "FILEUPLOAD", "GALLERIA", "IMAGECOMPARE", "IMAGEUPLOAD", "LIGHT_INFO_PREVIEW", "LOAD_3D",
        "LOAD_3D_ADVANCED", "LOAD_3D_ANIMATION", "MARKDOWN", "MULTISELECT", "PAINTER",
        "PREVIEW_3D", "PREVIEW_3D_ANIMATION", "RANGE", "RESOLUTION_PREVIEW", "SELECTBUTTON",
        "TEXTAREA", "TREESELECT", "VIDEO_EDIT", "WEBCAM",
    }
)  # fmt: skip
_OPAQUE_PREFIX: Final = "COMFY_"
# Classes to which an extension of the page adds widgets as it likes.
_OPAQUE_CLASSES: Final = frozenset({"CustomCombo"})
_SEEDS: Final = ("seed", "noise_seed")
_UPLOADS: Final = ("image_upload", "video_upload", "animated_image_upload")
_WITH_PLAYER: Final = ("LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus")
_WITH_MODEL: Final = {
    "SaveGLB": "PREVIEW_3D",
    "Preview3D": "PREVIEW_3D",
    "Preview3DAnimation": "PREVIEW_3D_ANIMATION",
}
_CORE_MODULES: Final = ("nodes", "comfy_extras", "comfy_api_nodes")
_NOTHING: Final = Definition("", {})
_EMPTY: Final = Definition("", {"default": ""})


def read_shape(name: str, info: Any) -> Shape:
    """A class from its definition.

    Raises:
        Unconvertible: a definition that is shaped like none, or with widgets whose values
            only the page knows
    """
    if not isinstance(info, Mapping) or not isinstance(info.get("input"), (Mapping, type(None))):
        raise _unreadable(name)
    if name in _OPAQUE_CLASSES:
        raise _opaque(name)
    outputs, module = info.get("output"), info.get("python_module")
    title = info.get("display_name") or info.get("name") or name
    return Shape(
        parts=tuple(_all_parts(name, info)),
        outputs=tuple(map(_output, outputs if isinstance(outputs, list) else [])),
        title=title if isinstance(title, str) else name,
        is_core=isinstance(module, str) and module.split(".")[0] in _CORE_MODULES,
        is_output=info.get("output_node") is True,
    )


def branch_parts(name: str, widget: Widget, chosen: Any) -> list[Part] | None:
    """What a choice of a dynamic list brings along; None where it is no choice of it."""
    for option in widget.definition.values or []:
        if isinstance(option, dict) and option.get("key") == chosen and isinstance(chosen, str):
            inputs = _members(option.get("inputs"))
            return [
                part
                for group in ("required", "optional")
                for key, raw in _members(inputs.get(group)).items()
                for part in _parts(name, f"{widget.name}.{key}", _definition(name, raw))
            ]
    return None


def takes_uploads(definition: Definition) -> bool:
    """Whether a button to upload a picture or video goes with it."""
    is_list = isinstance(definition.type, list) or definition.type == "COMBO"
    return is_list and any(definition.options.get(flag) is True for flag in _UPLOADS)


def _output(kind: Any) -> str | None:
    if isinstance(kind, list):
        return "COMBO"
    return kind if isinstance(kind, str) and kind != _MATCHING else None


def _all_parts(name: str, info: Mapping[str, Any]) -> Iterator[Part]:
    """In the order of `input_order`; what that does not name comes last, so do the widgets
    that extensions add. Without it they stand behind the required ones."""
    groups, order = info.get("input") or {}, info.get("input_order")
    found: dict[str, tuple[str, Definition]] = {}
    for group in ("required", "optional"):
        for key, raw in _members(groups.get(group)).items():
            if key.isdecimal():
                # JavaScript would sort it before all others.
                raise Unconvertible(f"{shown(name)} has inputs that are numbers.")
            found[key] = (group, _definition(name, raw))
    added = list(_added(name, found))
    for group in ("required", "optional"):
        if isinstance(order, Mapping):
            listed = order.get(group)
            names = listed if isinstance(listed, list) else []
        else:
            names = [key for key, (own, _) in found.items() if own == group]
        for key in names:
            if isinstance(key, str) and found.get(key, ("",))[0] == group:
                yield from _parts(name, key, found.pop(key)[1])
        if not isinstance(order, Mapping) and group == "required":
            yield from added
            added = []
    for key, (_, definition) in found.items():
        yield from _parts(name, key, definition)
    yield from added


def _members(group: Any) -> Mapping[str, Any]:
    return group if isinstance(group, Mapping) else {}


def _definition(name: str, raw: Any) -> Definition:
    options = raw[1] if isinstance(raw, list) and len(raw) > 1 else {}
    kind = raw[0] if isinstance(raw, list) and raw else None
    options = {} if options is None else options
    if not isinstance(kind, (str, list)) or not isinstance(options, dict):
        raise _unreadable(name)
    if {"name", "type", "isOptional"} & options.keys():
        # The page would take these for its own.
        raise _unreadable(name)
    return Definition(kind, options)


def _parts(name: str, key: str, definition: Definition) -> Iterator[Part]:
    """What one input is on the page: sockets, or a widget and those that go with it."""
    own_type = definition.type if isinstance(definition.type, str) else "COMBO"
    widget_type = definition.options.get("widgetType")
    kind = _SIMPLE.get(widget_type if isinstance(widget_type, str) else own_type)
    is_forced = bool(definition.options.get("forceInput"))
    if own_type == _GROWING and not is_forced:
        _require_sockets(name, definition)
        yield Growing(key)
    elif own_type == _MATCHING and not is_forced:
        yield Socket(key, None)
    elif kind is None or is_forced:
        is_opaque = own_type in _OPAQUE or own_type.startswith(_OPAQUE_PREFIX) or widget_type
        if kind is None and is_opaque and not is_forced:
            raise _opaque(name)
        yield Socket(key, own_type, kind is not None)
    else:
        widget = _widget(name, key, kind, definition, own_type)
        yield widget
        yield from _companions(widget)


def _require_sockets(name: str, definition: Definition) -> None:
    """Raise Unconvertible unless a growing group repeats a single input that only takes links."""
    template = _members(definition.options.get("template"))
    inputs = _members(template.get("input"))
    members = [_definition(name, raw) for g in inputs.values() for raw in _members(g).values()]
    if any(str(member.type).startswith(_OPAQUE_PREFIX) for member in members):
        raise _opaque(name)
    parts = [part for member in members for part in _parts(name, "", member)]
    if len(parts) != 1 or not isinstance(parts[0], Socket):
        raise _opaque(name)


def _widget(name: str, key: str, kind: Kind, definition: Definition, own_type: str) -> Widget:
    widget = Widget(key, kind, definition, input_type=own_type)
    if kind is Kind.COMBO and definition.options.get("remote"):
        # 1.27.10 chooses anew once it has fetched the list.
        raise Unconvertible(f"The page itself chooses {shown(key)} of {shown(name)}.")
    if kind is Kind.TEXT and definition.options.get("multiline"):
        return replace(widget, kind=Kind.LINES)
    if kind is Kind.COMBO and definition.options.get("multi_select"):
        return replace(widget, kind=Kind.MANY)
    return widget


def _companions(widget: Widget) -> Iterator[Widget]:
    options = widget.definition.options
    control = options.get("control_after_generate")
    if widget.kind is Kind.INT and control is None:
        control = widget.name in _SEEDS
    if control and widget.kind in (Kind.INT, Kind.COMBO):
        name = control if isinstance(control, str) else "control_after_generate"
        yield Widget(name, Kind.FIXED, _NOTHING, sent=False, has_input=False)
        if widget.kind is Kind.COMBO:
            yield Widget("control_filter_list", Kind.FIXED, _NOTHING, sent=False, has_input=False)


def _added(name: str, found: Mapping[str, tuple[str, Definition]]) -> Iterator[Widget]:
    """The widgets that the page's own extensions add to a class.

    Those that are sent reach a prompt as they do in 1.27.10; ComfyUI ignores them.
    """
    if name in _WITH_PLAYER:
        yield Widget("audioUI", Kind.FIXED, _EMPTY, saved=False, input_type="AUDIO_UI")
    elif name in _WITH_MODEL:
        yield Widget("image", Kind.FIXED, _EMPTY, input_type=_WITH_MODEL[name])
    elif name == "PreviewAny":
        yield Widget("preview", Kind.FIXED, _EMPTY, saved=False, has_input=False)
    required = {
        key: definition for key, (group, definition) in found.items() if group == "required"
    }
    if "audio" in required and required["audio"].options.get("audio_upload") is True:
        if name != "LoadAudio":
            raise _opaque(name)
        yield Widget("upload", Kind.FIXED, _EMPTY, sent=False, input_type="AUDIOUPLOAD")
    elif any(takes_uploads(definition) for definition in required.values()):
        yield Widget("upload", Kind.FIXED, _EMPTY, sent=False, input_type="IMAGEUPLOAD")


def _unreadable(name: str) -> Unconvertible:
    return Unconvertible(f"ComfyUI's definition of {shown(name)} cannot be read.")


def _opaque(name: str) -> Unconvertible:
    return Unconvertible(f"Only the page knows what the widgets of {shown(name)} hold.")
