"""The generated pages under docs/ say what the code says."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from comfyproxy.routes import DEFAULTS, ROUTES
from mssproject.env import ALIASES, SECRETS, load

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def printed(command: str, **options: bool) -> str:
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("command", "page"), [("show_routes", "routes.md"), ("show_config", "configuration.md")]
)
def test_a_page_is_what_its_command_prints(command: str, page: str) -> None:
    expected = printed(command, markdown=True)
    assert (DOCS / page).read_text() == expected, (
        f"run: ./run manage {command} --markdown > docs/{page}"
    )


def test_the_page_of_routes_has_a_row_per_line_of_the_table() -> None:
    rows = [row for row in (DOCS / "routes.md").read_text().splitlines() if row.startswith("| ")]
    heads = [row for row in rows if row.startswith("| methods")]
    assert len(rows) - len(heads) == len(ROUTES) + len(DEFAULTS)
    assert "| POST | `/prompt` | `can_run` | stream | `prompt_submit` |  |" in rows
    assert "| GET | `/assets/{file:manifest}` | public | stream | `static` | bare |" in rows


def test_an_operator_prints_the_routes_and_finds_every_line() -> None:
    lines = printed("show_routes").splitlines()
    assert len(lines) == len(ROUTES) + len(DEFAULTS)
    assert [line.split() for line in lines if "/free" in line] == [
        ["POST", "/free", "can_manage_backend", "view", "free_memory"]
    ]


def test_the_page_of_settings_names_each_once_and_marks_the_secrets() -> None:
    rows = (DOCS / "configuration.md").read_text().splitlines()
    for alias in ALIASES:
        (row,) = [row for row in rows if row.startswith(f"| `{alias}` |")]
        assert row.endswith("*Secret.* |") is (alias in SECRETS)
        assert "None" not in row and "Undefined" not in row


def test_an_operator_prints_the_settings_in_force_and_no_secret(settings: Settings) -> None:
    secret = "a-secret-that-must-not-be-printed"
    given = dict.fromkeys(SECRETS, secret)
    given["DATABASE_URL"] = f"postgres://me:{secret}@db/name"
    given["MSS_SMTP_URL"] = f"smtps://me:{secret}@mail.example"
    given["REDIS_URL"] = f"redis://:{secret}@cache:6379/0"
    given["SENTRY_DSN"] = f"https://{secret}@sentry.example/1"
    settings.ENV = load({**given, "MSS_OWNER_USERNAME": "olga"})
    out = printed("show_config")
    assert secret not in out
    assert [line.split(" = ")[0] for line in out.splitlines()] == list(ALIASES)
    assert "MSS_OWNER_USERNAME = olga" in out and "MSS_PORT = 8000" in out
