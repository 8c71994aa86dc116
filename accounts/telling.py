"""Sentences in the language of whoever is answered, at the moment of the answer."""

from typing import Any

from django.utils.translation import gettext

from accounts.errors import GatewayError
from accounts.sentences import Sentence


def told(text: str) -> str:
    """`text` in the present request's language; as it is where there is no translation."""
    if isinstance(text, Sentence):
        return gettext(text.template) % text.values
    return gettext(text)


def body_of(refusal: GatewayError) -> dict[str, Any]:
    """A refusal on the wire: its code and fields as ever, its sentence in the language."""
    return refusal.body() | {"error": told(refusal.message)}
