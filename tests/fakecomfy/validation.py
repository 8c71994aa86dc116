"""Checks of a prompt before it is queued, with ComfyUI's error types and texts."""

from __future__ import annotations

import sys
import traceback
from typing import Any, NamedTuple

from .folders import Folders
from .graph import is_link
from .registry import NodeClass, Registry, input_info

Error = dict[str, Any]
# (valid, errors) of a node already looked at.
Seen = dict[str, tuple[bool, list[Error]]]


class Verdict(NamedTuple):
    """Result of checking a whole prompt."""

    valid: bool
    error: Error | None
    outputs: list[str]
    node_errors: dict[str, Any]


def type_name(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def _frames() -> list[str]:
    return traceback.format_tb(sys.exc_info()[2])


def _types_match(received: Any, wanted: Any) -> bool:
    if received == wanted or "*" in (received if isinstance(received, str) else "", wanted):
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    return bool({t.strip() for t in received.split(",")} & {t.strip() for t in wanted.split(",")})


def _error(kind: str, message: str, details: str, **extra: Any) -> Error:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


class Validator:
    """Checks prompts against the node classes of one server; unwraps and converts in place."""

    def __init__(self, registry: Registry, folders: Folders) -> None:
        self._registry = registry
        self._folders = folders

    def check(self, prompt: Any, targets: Any) -> Verdict:
        outputs = []
        for node_id in prompt:
            if "class_type" not in prompt[node_id]:
                message = "Cannot execute because a node is missing the class_type property."
                return self._refused("invalid_prompt", message, f"Node ID '#{node_id}'")
            class_type = prompt[node_id]["class_type"]
            cls = self._registry.get(class_type)
            if cls is None:
                message = f"Cannot execute because node {class_type} does not exist."
                return self._refused("invalid_prompt", message, f"Node ID '#{node_id}'")
            if cls.is_output and (targets is None or node_id in targets):
                outputs.append(node_id)
        if not outputs:
            return self._refused("prompt_no_outputs", "Prompt has no outputs", "")
        return self._check_outputs(prompt, outputs)

    def _refused(
        self, kind: str, message: str, details: str, node_errors: dict[str, Any] | None = None
    ) -> Verdict:
        return Verdict(False, _error(kind, message, details), [], node_errors or {})

    def _check_outputs(self, prompt: dict[str, Any], outputs: list[str]) -> Verdict:
        good: list[str] = []
        texts: list[str] = []
        node_errors: dict[str, Any] = {}
        seen: Seen = {}
        for output in outputs:
            try:
                valid, errors = self._node(prompt, output, seen)
            except Exception as ex:
                valid = False
                errors = [
                    _error(
                        "exception_during_validation",
                        "Exception when validating node",
                        str(ex),
                        exception_type=type_name(ex),
                        traceback=_frames(),
                    )
                ]
                seen[output] = (False, errors)
            if valid:
                good.append(output)
                continue
            texts += [f"{e['message']}: {e['details']}" for e in errors]
            for node_id, (node_valid, node_reasons) in seen.items():
                if node_valid or not node_reasons:
                    continue
                entry = node_errors.setdefault(
                    node_id,
                    {
                        "errors": node_reasons,
                        "dependent_outputs": [],
                        "class_type": prompt[node_id]["class_type"],
                    },
                )
                entry["dependent_outputs"].append(output)
        if not good:
            message = "Prompt outputs failed validation"
            kind = "prompt_outputs_failed_validation"
            return self._refused(kind, message, "\n".join(texts), node_errors)
        return Verdict(True, None, good, node_errors)

    def _node(self, prompt: dict[str, Any], node_id: str, seen: Seen) -> tuple[bool, list[Error]]:
        # Recursive as upstream: Python's own limit is what refuses circles and endless chains.
        if node_id in seen:
            return seen[node_id]
        inputs = prompt[node_id]["inputs"]
        cls = self._registry.classes[prompt[node_id]["class_type"]]
        types = self._registry.input_types(cls)
        errors: list[Error] = []
        valid = True
        names = [*types.get("required", {}), *types.get("optional", {})]
        for name in names:
            wanted, category, options = input_info(types, name)
            if name not in inputs:
                if category == "required":
                    message = "Required input is missing"
                    errors.append(_error("required_input_missing", message, name, input_name=name))
                continue
            value = inputs[name]
            config = [wanted, options]
            if not isinstance(value, list):
                error = self._constant(cls, inputs, name, wanted, options or {})
                if error is not None:
                    errors.append(error)
                continue
            error = self._link(prompt, name, value, config)
            if error is not None:
                errors.append(error)
                continue
            try:
                if not self._node(prompt, value[0], seen)[0]:
                    valid = False
            except Exception as ex:
                valid = False
                reason = _error(
                    "exception_during_inner_validation",
                    "Exception when validating inner node",
                    str(ex),
                    input_name=name,
                    input_config=config,
                    exception_message=str(ex),
                    exception_type=type_name(ex),
                    traceback=_frames(),
                    linked_node=value,
                )
                seen[value[0]] = (False, [reason])
        errors += self._own_check(cls, inputs, types)
        seen[node_id] = (valid and not errors, errors)
        return seen[node_id]

    def _link(
        self, prompt: dict[str, Any], name: str, value: list[Any], config: list[Any]
    ) -> Error | None:
        if len(value) != 2:
            return _error(
                "bad_linked_input",
                "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                name,
                input_name=name,
                input_config=config,
                received_value=value,
            )
        source = self._registry.classes[prompt[value[0]]["class_type"]]
        received = source.returns[value[1]]
        if _types_match(received, config[0]):
            return None
        return _error(
            "return_type_mismatch",
            "Return type mismatch between linked nodes",
            f"{name}, received_type({received}) mismatch input_type({config[0]})",
            input_name=name,
            input_config=config,
            received_type=received,
            linked_node=value,
        )

    def _constant(
        self,
        cls: NodeClass,
        inputs: dict[str, Any],
        name: str,
        wanted: Any,
        options: dict[str, Any],
    ) -> Error | None:
        value = inputs[name]
        extra: dict[str, Any] = {"input_name": name, "input_config": [wanted, options]}
        try:
            if isinstance(value, dict) and "__value__" in value:
                value = inputs[name] = value["__value__"]
            convert = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
            if isinstance(wanted, str) and wanted in convert:
                value = inputs[name] = convert[wanted](value)
        except Exception as ex:
            return _error(
                "invalid_input_type",
                f"Failed to convert an input value to a {wanted} value",
                f"{name}, {value}, {ex}",
                **extra,
                received_value=value,
                exception_message=str(ex),
            )
        if name in cls.behaviour.validates:
            return None
        extra["received_value"] = value
        if "min" in options and value < options["min"]:
            message = f"Value {value} smaller than min of {options['min']}"
            return _error("value_smaller_than_min", message, name, **extra)
        if "max" in options and value > options["max"]:
            message = f"Value {value} bigger than max of {options['max']}"
            return _error("value_bigger_than_max", message, name, **extra)
        if isinstance(wanted, list) and value not in wanted:
            shown = str(wanted)
            if len(wanted) > 20:
                shown = f"(list of length {len(wanted)})"
                extra["input_config"] = None
            details = f"{name}: '{value}' not in {shown}"
            return _error("value_not_in_list", "Value not in list", details, **extra)
        return None

    def _own_check(
        self, cls: NodeClass, inputs: dict[str, Any], types: dict[str, Any]
    ) -> list[Error]:
        check = cls.behaviour.validate
        if check is None:
            return []
        # Links have no value yet, so the class's own check gets None for them.
        given = {
            name: None if is_link(inputs[name]) else inputs[name]
            for name in cls.behaviour.validates
            if name in inputs
        }
        for name in cls.behaviour.validates:
            if name not in given:
                missing = f"missing 1 required positional argument: '{name}'"
                raise TypeError(f"{cls.name}.VALIDATE_INPUTS() {missing}")
            if given[name] is None or not isinstance(given[name], str):
                kind = type(given[name]).__name__
                raise AttributeError(f"'{kind}' object has no attribute 'endswith'")
        result = check(self._folders, given)
        if result is True:
            return []
        errors = []
        for name in given:
            details = name if result is False else f"{name} - {result}"
            message = "Custom validation failed for node"
            errors.append(_error("custom_validation_failed", message, details, input_name=name))
        return errors
