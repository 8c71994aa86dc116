"""CSV that a spreadsheet can be trusted with: what it would run as a formula is quoted. Pure."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Final, TextIO

# A spreadsheet takes these for formulas and runs them; with a quote before it takes them for
# text (OWASP, "CSV Injection"). Quotes in front are doubled, so that each text comes back.
_FORMULA: Final = re.compile(r"'*[=+\-@]")
_QUOTED: Final = re.compile(r"'+[=+\-@]")


def to_csv(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """The rows, with a line of names first."""
    text = io.StringIO()
    write_csv(text, names, rows)
    return text.getvalue()


def write_csv(file: TextIO, names: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """The same, written as the rows come. `file` must leave line ends as they are."""
    writer = csv.writer(file)
    writer.writerow(names)
    for row in rows:
        writer.writerow(f"'{value}" if _FORMULA.match(value) else value for value in row)


def unquoted(value: str) -> str:
    """What a value was before `to_csv` wrote it."""
    return value[1:] if _QUOTED.match(value) else value
