"""Mails: links reach the address that the account has; what fails or is guessed gives nothing."""

import re
import socket
import time
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import requests

from accounts import links, mail, tasks
from accounts.models import AccountLink, AuditEntry, Role, User
from tests.accounts.acting import browser
from tests.browser import Browser
from tests.cast import ADMIN, PASSWORD
from tests.client import Client
from tests.gateway import Gateway
from tests.mailsink import Mail, MailSink
from tests.refusals import check_refusal, faults

LINKS = "/admin/accounts/accountlink/"
SAME = "If there is such an account and it has an e-mail address, a link is on its way there."

# As the worker would, in its own process.
WORK = """
from queue import Empty
import accounts.tasks
from mssproject.celery import app
result = 0
with app.connection_for_read() as connection:
    waiting = connection.SimpleQueue("celery")
    while True:
        try:
            message = waiting.get(block=False)
        except Empty:
            break
        arguments, named, _ = message.payload
        message.ack()
        app.tasks[message.headers["task"]](*arguments, **named)
        result += 1
"""
SET = """
from accounts.models import AccountLink, User
User.objects.filter(username=username).update(**changes)
AccountLink.objects.all().delete()
result = User.objects.get(username=username).pk
"""


@pytest.fixture(autouse=True)
def _empty(sink: MailSink) -> Iterator[None]:
    sink.mails.clear()
    yield
    sink.refuses = False


def give_address(gateway: Gateway, username: str, email: str, **changes: Any) -> int:
    return int(gateway.run(SET, username=username, changes={"email": email, **changes}))


def link_in(text: str) -> str:
    (found,) = re.findall(r"http\S+", text)
    return str(found)


def shown_link(page: requests.Response) -> str:
    found = re.search(r'<input id="link"[^>]* value="([^"]+)"', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def forget(gateway: Gateway, name: str, **headers: str) -> requests.Response:
    return Client(gateway.url).post("/forgot", json={"username": name}, headers=headers)


# --- links made in the admin ----------------------------------------------------------------


def test_invitation_is_mailed_and_shown(welcoming: Gateway, sink: MailSink) -> None:
    page = browser(welcoming, ADMIN).submit(
        LINKS + "add/", email="emil@example.org", note="<b>Emil</b> & co"
    )
    link = shown_link(page)
    assert "The link was mailed to emil@example.org." in page.text
    (mailed,) = sink.mails
    assert mailed.recipients == ["emil@example.org"]
    assert link_in(mailed.text) == link
    assert mailed.message["From"] == "MSS-Login <mss@gateway.example>"
    assert mailed.message["Subject"] == f"Your invitation to 127.0.0.1:{welcoming.port}"
    assert mailed.message.get_content_type() == "text/plain"
    assert "as: User" in mailed.text
    # The note is for the admins.
    assert "Emil" not in mailed.text
    assert sink.logins[-1] == ("mail@us", "p/w")
    body = {
        "invite_token": link.partition("=")[2],
        "username": "emil",
        "password": PASSWORD,
    }
    assert Client(welcoming.url).post("/join", json=body).status_code == 200
    # The address came with the invitation, so a forgotten password can be helped.
    assert forget(welcoming, "emil@example.org").status_code == 200
    welcoming.run(WORK)
    assert sink.mails[-1].recipients == ["emil@example.org"]


def test_password_link_is_mailed_to_the_accounts_address(
    welcoming: Gateway, sink: MailSink
) -> None:
    key = give_address(welcoming, "alice", "alice@example.org")
    admin = browser(welcoming, ADMIN)
    csrf = admin.get(LINKS + "add/").text.partition('csrfmiddlewaretoken" value="')[2][:64]
    page = admin.post(
        f"/admin/accounts/user/{key}/password-link/", data={"csrfmiddlewaretoken": csrf}
    )
    (mailed,) = sink.mails
    assert mailed.recipients == ["alice@example.org"]
    assert link_in(mailed.text) == shown_link(page)
    assert "choose a new password for alice" in mailed.text


def test_a_server_that_refuses_the_mail_does_not_lose_the_link(
    welcoming: Gateway, sink: MailSink
) -> None:
    sink.refuses = True
    before = len(welcoming.log())
    page = browser(welcoming, ADMIN).submit(LINKS + "add/", email="nobody@example.org")
    assert "The link could not be mailed to nobody@example.org." in page.text
    assert sink.mails == []
    join = requests.get(shown_link(page), headers={"Accept": "text/html"}, timeout=10)
    assert join.status_code == 200
    log = welcoming.log()[before:]
    assert "a mail could not be sent: SMTPRecipientsRefused" in log
    assert faults(log, ["nobody@example.org"]) == []


def test_without_an_address_nothing_is_mailed(welcoming: Gateway, sink: MailSink) -> None:
    page = browser(welcoming, ADMIN).submit(LINKS + "add/", note="in person")
    assert shown_link(page) and "mailed" not in page.text
    assert sink.mails == []


# --- /forgot --------------------------------------------------------------------------------


def test_person_who_forgot_the_password_gets_a_link(welcoming: Gateway, sink: MailSink) -> None:
    give_address(welcoming, "alice", "Alice@Example.org")
    page = Browser(welcoming.url)
    assert 'href="/forgot"' in page.get("/login").text
    asked = page.submit("/forgot", username="alice@example.ORG")
    assert (asked.status_code, SAME in asked.text) == (200, True)
    assert asked.headers["Cache-Control"] == "no-store"
    assert sink.mails == []
    assert welcoming.run(WORK) == 1
    (mailed,) = sink.mails
    assert mailed.recipients == ["Alice@Example.org"]
    link = link_in(mailed.text)
    assert link.startswith(f"{welcoming.url}/reset?reset_token=mss_link_")
    body = {"reset_token": link.partition("=")[2], "password": PASSWORD}
    assert Client(welcoming.url).post("/reset", json=body).status_code == 200
    trail = """
from accounts.models import AuditEntry
row = AuditEntry.objects.filter(event="password_link.created").latest("id")
result = [row.actor_name, row.subject_name, row.ip, row.details]
"""
    address = {"email": "Alice@Example.org", "forgotten": True}
    assert welcoming.run(trail) == ["", "alice", "127.0.0.1", address]


def test_whoever_is_named_the_answer_is_the_same_and_made_the_same_way(
    welcoming: Gateway, sink: MailSink
) -> None:
    give_address(welcoming, "alice", "alice@example.org")
    names = ["alice", "alice@example.org", "nobody", "nobody@example.org", "olga", "' OR 1=1"]
    answers = [forget(welcoming, name) for name in names]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
    # Not a thing about the account is done before the answer: a task each, whoever it is.
    assert welcoming.run(WORK) == len(names)
    assert len(sink.mails) == 1


def test_a_mailbox_is_not_filled(welcoming: Gateway, sink: MailSink) -> None:
    give_address(welcoming, "alice", "alice@example.org")
    for _ in range(3):
        forget(welcoming, "alice")
    welcoming.run(WORK)
    forget(welcoming, "ALICE")
    welcoming.run(WORK)
    assert len(sink.mails) == 1
    # And the link that was sent is not voided by those who ask on.
    link = link_in(sink.mails[0].text)
    assert requests.get(link, timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("email", "changes"),
    [
        ("", {}),
        ("alice@example.org", {"is_active": False}),
        ("alice@example.org", {"shared": True}),
    ],
    ids=str,
)
def test_some_accounts_get_no_mail(
    welcoming: Gateway, sink: MailSink, email: str, changes: dict[str, Any]
) -> None:
    give_address(welcoming, "alice", email, **changes)
    try:
        assert forget(welcoming, "alice").status_code == 200
        assert welcoming.run(WORK) == 1
        assert sink.mails == []
    finally:
        give_address(welcoming, "alice", "", is_active=True, shared=False)


def test_a_mail_that_failed_may_be_asked_for_again_at_once(
    welcoming: Gateway, sink: MailSink
) -> None:
    give_address(welcoming, "alice", "alice@example.org")
    sink.refuses = True
    forget(welcoming, "alice")
    welcoming.run(WORK)
    sink.refuses = False
    forget(welcoming, "alice")
    welcoming.run(WORK)
    assert len(sink.mails) == 1


@pytest.mark.parametrize(
    "body", [{}, {"username": ""}, {"username": 5}, {"username": "x" * 255}, {"username": "n\0"}]
)
def test_nonsense_is_refused_and_nothing_is_done(welcoming: Gateway, body: dict[str, Any]) -> None:
    answer = Client(welcoming.url).post("/forgot", json=body)
    check_refusal(answer, 400, "BAD_REQUEST", field="username")
    assert welcoming.run(WORK) == 0


def test_another_site_asks_for_no_mail(welcoming: Gateway) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        check_refusal(forget(welcoming, "alice", **headers), 403, "CROSS_ORIGIN")
    assert welcoming.run(WORK) == 0


def test_without_mail_there_is_no_such_page(gateway: Gateway) -> None:
    assert "/forgot" not in Browser(gateway.url).get("/login").text
    check_refusal(Client(gateway.url).get("/forgot"), 404, "NOT_FOUND")
    for answer in (Browser(gateway.url).get("/forgot"), forget(gateway, "alice")):
        assert (answer.status_code, "NOT_FOUND" in answer.text) == (404, True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hosts", "host", "offered"),
    [
        (["gateway.example"], "gateway.example:8000", True),
        (["Gateway.example"], "gateway.example", True),
        (["*"], "evil.example", False),
        ([".example"], "evil.example", False),
        (["*", "gateway.example"], "gateway.example", True),
        (["*", "gateway.example"], "evil.example", False),
    ],
)
def test_no_mail_leads_to_a_host_of_an_attackers_choice(
    settings: Any, rf: Any, hosts: list[str], host: str, offered: bool
) -> None:
    settings.ALLOWED_HOSTS = hosts
    settings.MSS_MAIL = True
    assert mail.can_be_asked(rf.get("/forgot", headers={"host": host})) is offered
    settings.MSS_MAIL = False
    assert mail.can_be_asked(rf.get("/forgot", headers={"host": host})) is False


# --- what a mail may hold -------------------------------------------------------------------


@pytest.fixture
def posted(settings: Any, sink: MailSink) -> list[Mail]:
    """This process sends by `sink` as well; what came there."""
    settings.MSS_MAIL = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", sink.port, 5
    return sink.mails


def user(email: str) -> User:
    made = User(username="uwe", role_id="user", email=email)
    made.set_unusable_password()
    made.save()
    return made


@pytest.mark.django_db
@pytest.mark.parametrize(
    "email",
    [
        "a@example.org\nBcc: b@example.org",
        "a@example.org\r\n\r\nbody",
        "a@example.org, b@example.org",
        "a b",
        "@",
        "a@exa mple.org",
    ],
)
def test_no_address_adds_a_header_or_a_recipient(posted: list[Mail], email: str) -> None:
    """As only the console could store it; forms and services refuse these."""
    link, token = links.create_password_link(user(email), actor=User.objects.get())
    sent = mail.send_password_link(link, links.address("http://h", link, token))
    assert [m.recipients for m in posted] in ([], [[email]]), sent
    assert all(set(m.message.keys()) == set(HEADERS) for m in posted)


HEADERS = (
    "Content-Type",
    "MIME-Version",
    "Content-Transfer-Encoding",
    "Subject",
    "From",
    "To",
    "Date",
    "Message-ID",
)


@pytest.mark.django_db
def test_odd_names_are_written_as_they_are(posted: list[Mail]) -> None:
    role = Role.objects.create(slug="odd", title="R&D <“head”>\nBcc: x", rank=10)
    User.objects.create(username="adam", role_id="admin")
    link, token = links.create_invitation(
        role, actor=User.objects.get(username="adam"), email="emil@exämple.org"
    )
    assert mail.send_invitation(link, links.address("https://gäteway.example", link, token))
    (mailed,) = posted
    assert "R&D <“head”>" in mailed.text
    assert set(mailed.message.keys()) == set(HEADERS)
    assert token in mailed.text


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["closed", "silent"])
def test_an_unreachable_server_is_no_error(
    settings: Any, posted: list[Mail], sink: MailSink, how: str
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    settings.EMAIL_PORT = listener.getsockname()[1]
    settings.EMAIL_TIMEOUT = 0.3
    if how == "closed":
        listener.close()
    started = time.monotonic()
    link, token = links.create_password_link(user("a@example.org"), actor=User.objects.get())
    assert mail.send_password_link(link, links.address("http://h", link, token)) is False
    assert time.monotonic() - started < 5
    listener.close()


@pytest.mark.django_db
def test_accounts_that_share_an_address_each_get_their_link(posted: list[Mail]) -> None:
    for name in ("one", "two"):
        User.objects.create(username=name, role_id="user", email="both@example.org")
    tasks.mail_forgotten_password("both@example.org", "http://h", None)
    assert len(posted) == 2
    assert AccountLink.objects.count() == 2
    assert AuditEntry.objects.filter(event="password_link.created").count() == 2
