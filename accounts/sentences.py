"""Sentences for people: English where they are written, in logs and in the database; another
language only where somebody is answered (`accounts.telling`). Pure.

    raise errors.BadRequest(english("There is no such role."))
    raise errors.QuotaExceeded(english("You have %(number)s waiting.", number=active))

`docs/translations.py` collects what stands in a call of `english`.
"""

from collections.abc import Mapping
from typing import Any


class Sentence(str):
    """A sentence with values in it, which remembers the words that they were put into."""

    __slots__ = ("template", "values")

    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, values: Mapping[str, Any]) -> "Sentence":
        made = super().__new__(cls, template % values)
        made.template = template
        made.values = values
        return made


def english(text: str, **values: str | int) -> str:
    """`text` with its %(names)s replaced, marked for translation."""
    return Sentence(text, values) if values else text
