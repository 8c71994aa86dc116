"""Collects the texts that people see into the catalogues of mssproject/locale, and compiles them.

    .venv/bin/python docs/translations.py            after a text was changed, or translated
    .venv/bin/python docs/translations.py --check    only says what is missing

What is translated is kept, what nobody uses any more goes. Then fill in the empty `msgstr` of
the .po files, and run it again. Another language: see docs/administration.md.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_javascript, extract_python
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT: Final = Path(__file__).resolve().parent.parent
LOCALE: Final = ROOT / "mssproject" / "locale"
# Of Django's pages and mails, and of scripts.
DOMAINS: Final = ("django", "djangojs")
# Folders as Django names them; English is in the sources.
LANGUAGES: Final = ("de", "fr", "es", "zh_Hans", "ja")
KEYWORDS: Final = {**DEFAULT_KEYWORDS, "english": None}
# Also what stands in `${…}`.
OPTIONS: Final = {"parse_template_string": True}
# The admin is English.
NOT_OURS: Final = ("templates/admin/", "templates/unfold/", "templates/static/")
# Or each compilation would change every file.
MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)
KEPT_HEADERS: Final = ('"Language:', '"Plural-Forms:', '"MIME-', '"Content-')

# Message id (with its plural, if it has one) and context.
Key = tuple[str | tuple[str, ...], str | None]


def python_files() -> Iterator[Path]:
    for app in ("accounts", "comfyproxy", "downloads", "mssproject"):
        yield from sorted((ROOT / app).rglob("*.py"))


def templates() -> Iterator[Path]:
    for path in sorted((ROOT / "templates").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in (".html", ".txt") and not name.startswith(NOT_OURS):
            yield path


def scripts() -> Iterator[Path]:
    yield from sorted((ROOT / "templates" / "static" / "mss").glob("*.js"))
    yield from sorted((ROOT / "comfyproxy" / "extension").glob("*.js"))


def texts(domain: str) -> list[Key]:
    """What the sources have to translate, in a steady order: that of their words."""
    found: set[Key] = set()
    if domain == "djangojs":
        for path in scripts():
            found |= _extracted(extract_javascript, path.read_text())
    else:
        for path in python_files():
            found |= _extracted(extract_python, path.read_text())
        for path in templates():
            source = templatize(path.read_text(), origin=str(path))
            found |= _extracted(extract_python, source)
    return sorted(found, key=lambda key: (_words(key[0]), key[1] or ""))


def _words(message: str | tuple[str, ...]) -> str:
    return message if isinstance(message, str) else message[0]


def _extracted(extract: Callable[..., Iterator[tuple[object, ...]]], source: str) -> set[Key]:
    found: set[Key] = set()
    for _, name, message, _ in extract(io.BytesIO(source.encode()), KEYWORDS, [], OPTIONS):
        parts = [message] if isinstance(message, str) else list(message or ())  # type: ignore[call-overload]
        context = str(parts.pop(0)) if str(name) in ("pgettext", "npgettext") else None
        plural = str(name) in ("ngettext", "npgettext")
        words = [part for part in parts if part][: 2 if plural else 1]
        if words:
            found.add((tuple(words) if plural else words[0], context))
    return found


def folder(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES"


def kept(language: str, domain: str) -> Catalog:
    """The translations as they are; empty ones where there are none yet."""
    path = folder(language) / f"{domain}.po"
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language, domain=domain)


def compiled(language: str, domain: str) -> Catalog:
    with (folder(language) / f"{domain}.mo").open("rb") as file:
        return read_mo(file)


def renewed(language: str, domain: str) -> Catalog:
    """A catalogue of the sources' texts, with the translations that there are: its own, else
    the other domain's."""
    olds = [kept(language, each) for each in sorted(DOMAINS, key=lambda each: each != domain)]
    new = Catalog(locale=language, domain=domain, creation_date=MOMENT, revision_date=MOMENT)
    for words, context in texts(domain):
        # The `Message` finds out by itself whether there are placeholders.
        known = [old.get(_words(words), context) for old in olds]
        string = next((message.string for message in known if message and message.string), None)
        new.add(words, string, context=context)
    return new


def write(catalog: Catalog, language: str, domain: str) -> None:
    folder(language).mkdir(parents=True, exist_ok=True)
    text = io.BytesIO()
    write_po(text, catalog, width=100, no_location=True, ignore_obsolete=True)
    written = text.getvalue().decode()
    head, _, rest = written[written.index("msgid") :].partition("\n\n")
    # Of the header what a reader needs; names and dates stand in the history.
    header = [line for line in head.splitlines() if line.startswith(KEPT_HEADERS)]
    text_of_po = "\n".join(['msgid ""', 'msgstr ""', *header, "", rest])
    (folder(language) / f"{domain}.po").write_text(text_of_po)
    with (folder(language) / f"{domain}.mo").open("wb") as file:
        write_mo(file, catalog)


def missing(language: str, domain: str) -> list[str]:
    """The texts without a translation."""
    catalog = kept(language, domain)
    gaps = []
    for words, context in texts(domain):
        message = catalog.get(_words(words), context)
        strings = message.string if message is not None else ""
        if not all((strings,) if isinstance(strings, str) else strings):
            gaps.append(_words(words))
    return gaps


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    is_check = parser.parse_args().check
    number = 0
    for language in LANGUAGES:
        for domain in DOMAINS:
            if not is_check:
                write(renewed(language, domain), language, domain)
            for text in missing(language, domain):
                number += 1
                print(f"{language} {domain}: {text}")
    print(f"{number} translations are missing" if number else "nothing is missing")
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
