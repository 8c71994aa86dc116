"""The catalogues hold every text that people see, in every language, as the sources have it."""

import importlib.util
import re
from types import ModuleType

import pytest
from babel.messages.catalog import Catalog, Message
from django.conf import settings
from django.utils.translation import to_locale

from tests.gateway import ROOT


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "docs/translations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


translations = _script()
DOMAINS = ("django", "djangojs")
LANGUAGES = [to_locale(code) for code, _ in settings.LANGUAGES if code != "en"]
PLACEHOLDER = re.compile(r"%\(\w+\)s|%[^(\s]|<[^>]*>")
# What would leave an attribute of the page that it stands in, or begin an element.
MARKUP = re.compile(r'["<>&]')

each_catalogue = pytest.mark.parametrize(
    ("language", "domain"), [(each, domain) for each in LANGUAGES for domain in DOMAINS]
)


def messages(catalogue: Catalog) -> dict[tuple[str, str | None], tuple[str, ...]]:
    return {
        (translations._words(message.id), message.context): strings(message)
        for message in catalogue
        if message.id
    }


def strings(message: Message) -> tuple[str, ...]:
    found = message.string
    return (found,) if isinstance(found, str) else tuple(found)


def test_script_makes_a_catalogue_of_every_language() -> None:
    assert sorted(translations.LANGUAGES) == sorted(LANGUAGES)
    assert sorted(path.name for path in translations.LOCALE.iterdir()) == sorted(LANGUAGES)


@pytest.mark.parametrize("domain", DOMAINS)
def test_extraction_finds_texts_of_every_kind_of_source(domain: str) -> None:
    found = {translations._words(words) for words, _ in translations.texts(domain)}
    expected = {
        # A page, a form with several, a mail; a class of refusals; a sentence with a value.
        "django": {
            "Log in",
            "You have %(number)s unused backup code.",
            "Your invitation to %(host)s",
            "User name or password is wrong.",
            "%(site)s takes no more requests for now. Try again later.",
        },
        # Our pages; ComfyUI's, within a template string.
        "djangojs": {"The token is revoked.", "Remove the node, or ask an administrator."},
    }
    assert expected[domain] <= found


@each_catalogue
def test_language_has_a_translation_of_every_text(language: str, domain: str) -> None:
    """Otherwise: `python docs/translations.py`, and fill in what it names."""
    assert translations.missing(language, domain) == []


@each_catalogue
def test_catalogue_holds_nothing_else(language: str, domain: str) -> None:
    catalogue = translations.kept(language, domain)
    wanted = {
        (translations._words(words), context) for words, context in translations.texts(domain)
    }
    assert messages(catalogue).keys() == wanted
    assert not catalogue.obsolete
    assert [message.id for message in catalogue if message.fuzzy and message.id] == []


@each_catalogue
def test_translation_has_the_text_s_placeholders_and_tags(language: str, domain: str) -> None:
    for message in translations.kept(language, domain):
        words = translations._words(message.id)
        for string in strings(message) if words else ():
            assert sorted(PLACEHOLDER.findall(string)) == sorted(PLACEHOLDER.findall(words)), words
            if not MARKUP.search(words):
                assert not MARKUP.search(string), string


@each_catalogue
def test_compiled_catalogue_is_the_written_one(language: str, domain: str) -> None:
    """Otherwise: `python docs/translations.py`."""
    written = messages(translations.kept(language, domain))
    assert messages(translations.compiled(language, domain)) == written
