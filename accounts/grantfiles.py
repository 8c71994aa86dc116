"""Grants as files, CSV and JSON: written, and read with what is wrong in which line."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from accounts import errors, granting, holders, sheets
from accounts.holders import KINDS
from accounts.models import ModelGrant

FIELDS: Final = ("holder_kind", "holder", "folder", "item_name", "source_backend")
_NEEDED: Final = FIELDS[:-1]
MAX_FILE_BYTES: Final = 3 * 1024 * 1024
MAX_LINES: Final = granting.MAX_AT_ONCE


@dataclass(frozen=True, slots=True)
class Line:
    """One grant of a file; `number`: in which line, or which entry, it stands."""

    number: int
    kind: str
    holder: str
    item: granting.Item


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where."""

    number: int
    text: str


@dataclass
class Content:
    """A file that was read. `unit`: what its numbers count."""

    unit: str
    lines: list[Line] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


# --- writing ---------------------------------------------------------------------------------


def _record(row: ModelGrant) -> dict[str, str]:
    holder = row.holder
    values = (
        holders.kind_of(holder),
        holders.name_of(holder),
        row.folder,
        row.item_name,
        row.source_backend,
    )
    return dict(zip(FIELDS, values, strict=True))


def to_csv(rows: Iterable[ModelGrant]) -> str:
    """With a line of names first. What a spreadsheet would run is quoted."""
    return sheets.to_csv(FIELDS, (_record(row).values() for row in rows))


def to_json(rows: Iterable[ModelGrant]) -> str:
    """A list of objects."""
    return json.dumps([_record(row) for row in rows], ensure_ascii=False, indent=1)


def lines_to_json(lines: Iterable[Line]) -> str:
    """What was read, in the form that `read` reads again."""
    return json.dumps(
        [
            {
                "holder_kind": line.kind,
                "holder": line.holder,
                "folder": line.item.folder,
                "item_name": line.item.item_name,
                "source_backend": line.item.source_backend,
            }
            for line in lines
        ],
        ensure_ascii=False,
    )


# --- reading ---------------------------------------------------------------------------------


def read(content: bytes, max_bytes: int = MAX_FILE_BYTES) -> Content:
    """A file in either form: JSON if it begins like a list or an object, else CSV.

    Raises:
        BadRequest: too large, or not of these forms at all; faults of single lines are listed
    """
    if len(content) > max_bytes:
        raise errors.BadRequest(f"The file is larger than {max_bytes // 1024**2} MB.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise errors.BadRequest("The file is not UTF-8. Save it as “CSV UTF-8”.") from None
    if text.lstrip()[:1] in ("[", "{"):
        found, records = Content("entry"), _json_records(text)
    else:
        found, records = Content("line"), _csv_records(text)
    for number, record in records:
        if len(found.lines) + len(found.faults) >= MAX_LINES:
            raise errors.BadRequest(f"There are more than {MAX_LINES} grants. Split the file.")
        try:
            found.lines.append(_line(number, record))
        except errors.BadRequest as error:
            found.faults.append(Fault(number, error.message))
    if not found.lines and not found.faults:
        raise errors.BadRequest("There is no grant in the file.")
    return found


def _json_records(text: str) -> Iterator[tuple[int, Any]]:
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise errors.BadRequest("The file is not valid JSON.") from None
    if not isinstance(data, list):
        raise errors.BadRequest("The file must be a list of objects.")
    return enumerate(data, start=1)


def _csv_records(text: str) -> Iterator[tuple[int, Any]]:
    # Spreadsheets of some countries separate by semicolons.
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        missing = [name for name in _NEEDED if name not in names]
        if missing or len(set(names)) < len(names):
            raise errors.BadRequest(f"The first line must be: {','.join(FIELDS)}")
        for row in reader:
            if any(row):
                yield reader.line_num, _csv_record(names, row)
    except csv.Error as error:
        raise errors.BadRequest(f"Line {reader.line_num} is not valid CSV: {error}.") from None


def _csv_record(names: list[str], row: list[str]) -> dict[str, str] | None:
    if len(row) != len(names):
        return None
    return {name: sheets.unquoted(value) for name, value in zip(names, row, strict=True)}


def _line(number: int, record: Any) -> Line:
    if not isinstance(record, Mapping):
        raise errors.BadRequest("There are too few or too many values.")
    kind, holder = record.get("holder_kind"), record.get("holder")
    if kind not in KINDS:
        raise errors.BadRequest(f"holder_kind must be one of {', '.join(KINDS)}.")
    if not isinstance(holder, str) or not holder or len(holder) > 150 or "\0" in holder:
        raise errors.BadRequest(f"holder must name a {kind}.")
    given = granting.item(
        record.get("folder"), record.get("item_name"), record.get("source_backend")
    )
    return Line(number, kind, holder, given)
