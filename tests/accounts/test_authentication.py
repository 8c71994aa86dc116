"""authentication: two statements per unknown token, none for a known one, and no stale answer."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import authentication, errors, proofs, tokens
from accounts.authentication import identify_sync
from accounts.capabilities import Capability
from accounts.credentials import Credential, Place
from accounts.identity import Auth
from accounts.models import ApiToken, ModelGrant, Role, Session, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    authentication.cache.drop_all()
    yield
    authentication.cache.drop_all()


@pytest.fixture(autouse=True)
def no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done aside is done at once here: another thread does not see this transaction."""
    monkeypatch.setattr(authentication, "later", lambda work, **given: work(**given))


@pytest.fixture
def user() -> User:
    made = User(username="uwe", role_id="user")
    made.set_unusable_password()
    made.save()
    return made


def bearer(token: str) -> Credential:
    return Credential(token, Place.HEADER)


def api_token(user: User, **fields: object) -> str:
    token = tokens.new_api_token()
    ApiToken.objects.create(user=user, token_hash=tokens.token_hash(token), **fields)
    return token


def test_unknown_token_costs_two_statements_and_a_known_one_none(
    user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    _, jwt = proofs.start_session(user, ip=None, user_agent="")
    with django_assert_num_queries(2):  # who they are, which models they were given
        first = identify_sync(bearer(jwt))
    with django_assert_num_queries(0):
        assert [identify_sync(bearer(jwt)) for _ in range(3)] == [first] * 3
    assert (first.username, first.role, first.rank, first.auth) == ("uwe", "user", 40, Auth.SESSION)
    with django_assert_num_queries(1):
        for _ in range(3):
            with pytest.raises(errors.TokenInvalid):
                identify_sync(bearer("mss_guessed"))


def test_last_use_is_written_once_a_minute(
    user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    token = api_token(user)
    with django_assert_num_queries(3):
        identify_sync(bearer(token))
    authentication.cache.drop_all()
    with django_assert_num_queries(2):
        identify_sync(bearer(token))
    row = ApiToken.objects.get()
    assert timezone.now() - row.last_used_at < timedelta(minutes=1)
    long_ago = timezone.now() - timedelta(minutes=2)
    ApiToken.objects.update(last_used_at=long_ago)
    authentication.cache.drop_all()
    identify_sync(bearer(token))
    assert ApiToken.objects.get().last_used_at > long_ago


def test_remembered_token_expires_on_the_second(user: User) -> None:
    token = api_token(user, expires_at=timezone.now() + timedelta(seconds=0.2))
    assert identify_sync(bearer(token)).username == "uwe"
    time.sleep(0.21)
    with pytest.raises(errors.TokenExpired):
        identify_sync(bearer(token))


def test_scopes_never_add_to_the_role(user: User) -> None:
    scopes = ["can_run", "can_manage_backend", "no_such_thing"]
    identity = identify_sync(bearer(api_token(user, scopes=scopes)))
    assert (identity.capabilities, identity.scopes) == ({Capability.RUN}, tuple(scopes))
    assert identify_sync(bearer(api_token(user, scopes=[]))).capabilities == frozenset()


def test_overrides_of_the_user_win_over_the_role(user: User) -> None:
    token = api_token(user)
    user.role.sfw_enforced = user.role.mfa_required = True
    user.role.save()
    for own, expected in ((None, True), (False, False), (True, True)):
        user.sfw_enforced = user.mfa_required = own
        user.save()
        authentication.cache.drop_all()
        identity = identify_sync(bearer(token))
        assert (identity.sfw_enforced, identity.mfa_required) == (expected, expected)


CHANGES: dict[str, Callable[[User], object]] = {
    "a capability added to the role": lambda user: user.role.permissions.add(capability("can_fly")),
    "a capability of the user's own": lambda user: user.user_permissions.add(capability("can_fly")),
    "role saved": lambda user: user.role.save(),
    "user saved": lambda user: user.save(),
    "a model given": lambda user: give(user=user),
    "a model given to the role": lambda user: give(role=user.role),
    "a model given to a team": lambda user: give(team=team()),
    "a team joined": lambda user: user.groups.add(team()),
    "a team deleted": lambda user: team().delete(),
    "token deleted": lambda user: user.api_tokens.get().delete(),
    "user deleted": lambda user: user.delete(),
}


def team() -> Group:
    return Group.objects.get_or_create(name="crew")[0]


def give(**holder: Any) -> None:
    ModelGrant.objects.create(folder="loras", item_name="a", **holder)


def capability(codename: str) -> Permission:
    kind = ContentType.objects.get_for_model(Role)
    return Permission.objects.get_or_create(codename=codename, content_type=kind)[0]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_anywhere_in_this_process_is_noticed_once_it_is_committed(
    user: User,
    change: str,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """From the shell or a task as well as through the admin's forms."""
    token = api_token(user)
    digest = sha256(token.encode()).digest()
    identify_sync(bearer(token))
    with django_capture_on_commit_callbacks() as callbacks:
        CHANGES[change](user)
        assert authentication.cache.get(digest) is not None  # it may still be rolled back
    for callback in callbacks:
        callback()
    assert authentication.cache.get(digest) is None


def test_refusals_are_raised_anew(user: User) -> None:
    """A remembered exception would collect the traceback of every request."""
    seen = set()
    for _ in range(3):
        with pytest.raises(errors.TokenInvalid) as refused:
            identify_sync(bearer("mss_guessed"))
        seen.add(id(refused.value))
        assert refused.value.__context__ is None
    session, jwt = proofs.start_session(user, ip=None, user_agent="")
    Session.objects.filter(pk=session.pk).update(revoked_at=timezone.now())
    for _ in range(2):
        with pytest.raises(errors.TokenRevoked):
            identify_sync(bearer(jwt))


def test_no_credential_is_no_identity() -> None:
    with pytest.raises(errors.AuthRequired):
        identify_sync(None)
