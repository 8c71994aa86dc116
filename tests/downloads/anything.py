"""Request bodies of any kind, for parsers that must understand or refuse them."""

from typing import Any

from hypothesis import strategies as st

_PIECES = ["https://", "civitai.com", "huggingface.co", "/models/", "123", "?modelVersionId=", "@"]
_PIECES += ["/blob/", "main", "/resolve/", "/tree/", "refs/pr/1", "..", "//", "%2e%2e", "urn:air:"]
_PIECES += ["a/b", "x.safetensors", "/datasets/", "[", "]", ":", "\0", "\\", "#", "&", "é", " "]
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    | st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)
)  # fmt: skip


def bodies(*fields: str) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects with some of these fields, of every type of value."""
    values = st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=4,
    )
    return st.dictionaries(st.sampled_from(fields) | st.text(max_size=5), values, max_size=6)
