"""Sessions end when nobody uses them, and never while somebody does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from accounts import authentication, errors, proofs, queries
from accounts.authentication import identify_sync
from accounts.credentials import Credential, Place
from accounts.identity import Identity
from accounts.identity_cache import TTL_SECONDS, IdentityCache
from accounts.models import ApiToken, Session, User
from tests.accounts.acting import Newcomer, app, session
from tests.client import Client
from tests.gateway import Gateway
from tests.refusals import check_refusal

# The shortest that can be set: 36 s.
SHORTEST_HOURS = 0.01
SHORTEST = SHORTEST_HOURS * 3600


@dataclass
class Clock:
    """Time as a test wants it, for all that ask: the tables, the check, the memory."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock(timezone.now())
    monkeypatch.setattr(timezone, "now", made.now)
    monkeypatch.setattr(authentication, "time", made.seconds)
    monkeypatch.setattr(authentication, "cache", IdentityCache(made.seconds))
    # Another thread does not see this test's transaction.
    monkeypatch.setattr(authentication, "later", lambda work, **given: work(**given))
    yield made


def new_session() -> Credential:
    user = User.objects.filter(username="uwe").first() or User(username="uwe", role_id="user")
    user.save()
    row, jwt = proofs.start_session(user, ip=None, user_agent="")
    # The column's default is the real clock.
    Session.objects.filter(pk=row.pk).update(last_used_at=timezone.now())
    return Credential(jwt, Place.HEADER)


def works(credential: Credential) -> bool:
    try:
        identify_sync(credential)
    except errors.TokenExpired:
        return False
    return True


@pytest.mark.django_db
@pytest.mark.parametrize("hours", [SHORTEST_HOURS, 12, 8760])
def test_unused_session_ends_on_the_second(clock: Clock, hours: float, settings: Settings) -> None:
    settings.MSS_SESSION_IDLE_HOURS = hours
    used, unused = new_session(), new_session()
    Session.objects.update(expires_at=clock.at + timedelta(days=1000))
    clock.wait(hours * 3600 - 1)
    assert works(used)
    clock.wait(1)
    assert not works(unused) and works(used)
    assert [row.last_used_at for row in queries.open_sessions(User.objects.get().pk)] == [
        clock.at - timedelta(seconds=1)
    ]


@pytest.mark.django_db
def test_used_session_still_ends_when_its_login_does(clock: Clock) -> None:
    credential = new_session()
    Session.objects.update(expires_at=clock.at + timedelta(seconds=100))
    for _ in range(9):
        clock.wait(10)
        assert works(credential)
    clock.wait(10)
    assert not works(credential)


def step() -> timedelta:
    return min(authentication.LAST_USED_STEP, queries.session_idle() / 4)


@pytest.mark.django_db
@given(gaps=st.lists(st.floats(0, SHORTEST + 5), max_size=30))
@example(gaps=[4.9] * 60)
@example(gaps=[1.0] * 100)
@example(gaps=[8.9, 4.9, 22])
@example(gaps=[35.0, 2.0])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_session_in_use_is_never_refused_and_an_unused_one_always(
    clock: Clock, gaps: list[float]
) -> None:
    """Use is written once a step, and not while the memory answers: a session may end so much
    earlier than it has been unused for the whole time, and never later."""
    django_settings.MSS_SESSION_IDLE_HOURS, before = (
        SHORTEST_HOURS,
        django_settings.MSS_SESSION_IDLE_HOURS,
    )
    try:
        sure = SHORTEST - step().total_seconds() - TTL_SECONDS
        assert sure > SHORTEST / 2
        credential = new_session()
        for gap in gaps:
            clock.wait(gap)
            alive = works(credential)
            assert alive or gap > sure
            assert not alive or gap < SHORTEST
            if not alive:
                assert not works(credential)
                break
    finally:
        django_settings.MSS_SESSION_IDLE_HOURS = before


@pytest.mark.django_db
def test_identity_ends_at_the_earlier_of_both(clock: Clock) -> None:
    def identity(**times: datetime) -> Identity:
        credential = new_session()
        Session.objects.update(**times)
        return identify_sync(credential)

    hour = timedelta(hours=1)
    end, idle = clock.at + 24 * hour, clock.at + 12 * hour
    assert identity(expires_at=end).expires_at == idle.timestamp()
    soon = clock.at + hour
    assert identity(expires_at=soon).expires_at == soon.timestamp()
    # Used again after a while: from now on, also before anything is read anew.
    assert identity(expires_at=end, last_used_at=clock.at - hour).expires_at == idle.timestamp()
    lately = clock.at - timedelta(seconds=50)
    expected = lately + 12 * hour
    assert identity(expires_at=end, last_used_at=lately).expires_at == expected.timestamp()


@pytest.mark.django_db
def test_identity_tells_whether_the_login_proved_a_second_factor(clock: Clock) -> None:
    plain, proven = new_session(), new_session()
    Session.objects.filter(jti=identify_sync(proven).jti).update(second_factor=True)
    authentication.cache.drop_all()
    assert [identify_sync(one).second_factor for one in (plain, proven)] == [False, True]
    user = User.objects.get()
    _, token = proofs.create_api_token(user, label="", scopes=None, expires_at=None, actor=user)
    assert identify_sync(Credential(token, Place.HEADER)).second_factor is False


@pytest.mark.django_db
def test_api_token_does_not_end_for_lack_of_use(clock: Clock) -> None:
    user = User(username="uwe", role_id="user")
    user.save()
    _, token = proofs.create_api_token(user, label="", scopes=None, expires_at=None, actor=user)
    ApiToken.objects.update(last_used_at=clock.at - timedelta(days=400))
    assert works(Credential(token, Place.HEADER))


LEAVE_UNUSED = """
from datetime import timedelta
from django.utils import timezone
from accounts import models
long_ago = timezone.now() - timedelta(hours=12, seconds=1)
models.Session.objects.filter(user__username=username).update(last_used_at=long_ago)
"""


def test_person_comes_back_after_a_night_and_logs_in_again(
    gateway: Gateway, newcomer: Newcomer
) -> None:
    person = newcomer()
    night = Client(gateway.url, session(gateway, person))
    gateway.run(LEAVE_UNUSED, username=person.username)
    for path in ("/mss-login/api/me", "/queue", "/extensions"):
        check_refusal(night.get(path), 401, "TOKEN_EXPIRED")
    check_refusal(night.post("/mss-login/generate_token", json={}), 401, "TOKEN_EXPIRED")
    morning = app(gateway, person)
    listed = morning.get("/mss-login/me/sessions").json()["sessions"]
    assert [row["is_current"] for row in listed] == [True]
    everything = {"all_others": True}
    assert morning.post("/mss-login/me/sessions/revoke", json=everything).status_code == 200
    assert morning.get("/queue").status_code == 200
