"""CSV that a spreadsheet can be trusted with: what it would run as a formula is quoted. Pure."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

# A spreadsheet takes these for formulas and runs them; with a quote before it takes them for
# text (OWASP, "CSV Injection"). Quotes in front are doubled, so that each text comes back.
_FORMULA: Final = re.compile(r"'*[=+\-@]")
_QUOTED: Final = re.compile(r"'+[=+\-@]")


def to_csv(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """The rows, with a line of names first."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        writer.writerow(f"'{value}" if _FORMULA.match(value) else value for value in row)
    return text.getvalue()


def unquoted(value: str) -> str:
    """What a value was before `to_csv` wrote it."""
    return value[1:] if _QUOTED.match(value) else value
