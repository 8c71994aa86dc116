"""services and the database below them: one owner, ranks, and what ends when an account changes."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import authentication, errors, proofs, ranks, services
from accounts.capabilities import DEFAULT_ROLES, Capability
from accounts.credentials import Credential, Place
from accounts.models import ApiToken, AuditEntry, Challenge, Role, Session, User

pytestmark = pytest.mark.django_db

PASSWORD = "correct-Horse-9-battery"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def make(username: str, role: str = "user") -> User:
    return services.create_user(username=username, password=PASSWORD, role=role, actor=None)


@pytest.fixture
def owner() -> User:
    return services.create_owner(username="olga", password=PASSWORD)


def events() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("event", flat=True))


def role(slug: str) -> Role:
    return Role.objects.get(slug=slug)


# --- one owner ----------------------------------------------------------------------------------


def test_second_owner_is_refused_by_every_service(owner: User) -> None:
    other = make("other", "admin")
    attempts = (
        lambda: services.create_owner(username="second", password=PASSWORD),
        lambda: make("second", "owner"),
        lambda: services.set_role(other, role("owner"), actor=owner),
        lambda: services.set_role(other, role("owner"), actor=None),
    )
    for attempt in attempts:
        with pytest.raises((errors.PermissionDenied, errors.Conflict)):
            attempt()
    assert list(User.objects.filter(role="owner")) == [owner]


def test_second_owner_is_refused_by_the_database(owner: User) -> None:
    make("other")
    attempts = (
        lambda: User.objects.update(role="owner"),
        lambda: User.objects.filter(username="other").update(role="owner"),
        lambda: User.objects.bulk_create([User(username="bulk", role_id="owner")]),
        lambda: User(username="plain", role_id="owner").save(),
    )
    for attempt in attempts:
        with pytest.raises(IntegrityError), transaction.atomic():
            attempt()
    assert list(User.objects.filter(role="owner")) == [owner]


def test_migrations_hold_what_the_models_say() -> None:
    """The constraints above live in the migrations, and only there."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_owner_cannot_be_disabled_demoted_or_deleted(owner: User) -> None:
    admin = make("adam", "admin")
    for actor in (owner, admin, None):
        with pytest.raises(errors.PermissionDenied):
            services.set_active(owner, False, actor=actor)
        with pytest.raises(errors.PermissionDenied):
            services.set_role(owner, role("admin"), actor=actor)
        with pytest.raises(errors.PermissionDenied):
            services.delete_user(owner, actor=actor, keep_files=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(role="owner").update(is_active=False)
    fresh = User.objects.get(pk=owner.pk)
    assert (fresh.role_id, fresh.is_active) == ("owner", True)


def test_owner_hands_the_ownership_over_and_becomes_an_admin(owner: User) -> None:
    heir = make("heir")
    services.transfer_ownership(owner, heir)
    assert dict(User.objects.values_list("username", "role")) == {"olga": "admin", "heir": "owner"}
    assert events()[-1] == "owner.transferred"


def test_ownership_goes_to_nobody_disabled_and_is_given_by_nobody_else(owner: User) -> None:
    admin, disabled = make("adam", "admin"), make("dora")
    services.set_active(disabled, False, actor=owner)
    with pytest.raises(errors.BadRequest):
        services.transfer_ownership(owner, disabled)
    for giver, heir in ((admin, disabled), (admin, admin), (owner, owner)):
        with pytest.raises(errors.PermissionDenied):
            services.transfer_ownership(giver, heir)
    assert User.objects.get(role="owner") == owner


# --- ranks ----------------------------------------------------------------------------------------


def test_nobody_manages_a_higher_rank_nor_gives_a_role_above_their_own(owner: User) -> None:
    helper, admin, user = make("helga", "power"), make("adam", "admin"), make("uwe")
    before = list(User.objects.order_by("pk").values_list("role", "is_active", "password"))
    for attempt in (
        lambda: services.set_role(admin, role("user"), actor=helper),
        lambda: services.set_active(admin, False, actor=helper),
        lambda: services.set_password(admin, "Another-77-secret", actor=helper),
        lambda: services.delete_user(admin, actor=helper, keep_files=True),
        lambda: services.set_password(owner, "Another-77-secret", actor=admin),
        lambda: services.set_role(user, role("admin"), actor=helper),
        lambda: services.set_role(helper, role("admin"), actor=helper),
        lambda: services.create_user(
            username="friend", password=PASSWORD, role="admin", actor=helper
        ),
    ):
        with pytest.raises(errors.PermissionDenied):
            attempt()
    assert list(User.objects.order_by("pk").values_list("role", "is_active", "password")) == before


# --- new accounts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("username", "password", "field"),
    [
        ("", PASSWORD, "username"),
        ("two words", PASSWORD, "username"),
        ("a/b", PASSWORD, "username"),
        ("x" * 151, PASSWORD, "username"),
        ("nul\0", PASSWORD, "username"),
        ("carl", "", "password"),
        ("carl", "short-7", "password"),
        ("carl", "password123", "password"),
        ("carl", "83719283747", "password"),
        ("carl-the-great", "carl-the-great1", "password"),
        ("carl", "Long-9" + "x" * 1100, "password"),
    ],
)
def test_a_malformed_name_or_weak_password_makes_no_account(
    username: str, password: str, field: str
) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        services.create_user(username=username, password=password, role="user", actor=None)
    assert refused.value.fields == {"field": field}
    assert (User.objects.count(), events()) == (0, [])


def test_a_name_is_taken_whatever_its_case_and_spelling() -> None:
    make("Åse")
    for spelling in ("Åse", "ÅSE", "A\u030ase"):
        with pytest.raises(errors.Conflict) as refused:
            make(spelling)
        assert refused.value.wire_code == "USERNAME_TAKEN"
    assert User.objects.count() == 1


def test_an_unknown_role_is_a_bad_request() -> None:
    with pytest.raises(errors.BadRequest) as refused:
        make("carl", "emperor")
    assert refused.value.fields == {"field": "role"}


def test_every_account_has_its_own_opaque_namespace() -> None:
    names = {make(f"user{n}").namespace for n in range(5)}
    assert len(names) == 5
    assert all(len(name) == 12 and name.startswith("u-") for name in names)


def test_default_roles_hold_what_the_contract_says() -> None:
    held = {
        found.slug: set(found.permissions.values_list("codename", flat=True))
        for found in Role.objects.all()
    }
    assert held == {r.slug: {str(cap) for cap in r.capabilities} for r in DEFAULT_ROLES}
    assert held["guest"] == {"can_access_api"}
    assert held["owner"] == held["admin"] == {str(cap) for cap in Capability}


# --- what ends with a change ----------------------------------------------------------------------


def still_works(token: str) -> bool:
    authentication.cache.drop_all()
    try:
        authentication.identify_sync(Credential(token, Place.HEADER))
    except (errors.TokenRevoked, errors.TokenInvalid):
        return False
    return True


def api_token(user: User) -> str:
    return proofs.create_api_token(user, label="", scopes=None, expires_at=None, actor=user)[1]


@pytest.mark.parametrize("keep", [False, True])
def test_disabling_ends_sessions_and_tokens_and_only_kept_tokens_come_back(keep: bool) -> None:
    user = make("uwe")
    _, jwt = proofs.start_session(user, ip=None, user_agent="")
    token, bystander = api_token(user), api_token(make("other"))
    assert still_works(jwt) and still_works(token)
    services.set_active(user, False, actor=None, keep_tokens=keep)
    assert not still_works(jwt) and not still_works(token)
    services.set_active(user, True, actor=None)
    assert (still_works(jwt), still_works(token)) == (False, keep)
    assert still_works(bystander)
    disabled = AuditEntry.objects.get(event="user.disabled")
    assert disabled.details == {"tokens": 0 if keep else 1}


@pytest.mark.parametrize("keep", [False, True])
def test_a_new_password_removes_the_tokens_unless_they_are_kept(keep: bool) -> None:
    user, bystander = make("uwe"), make("other")
    mine, theirs = api_token(user), api_token(bystander)
    services.set_password(user, "Another-77-secret", actor=user, keep_tokens=keep)
    assert (still_works(mine), still_works(theirs)) == (keep, True)
    assert AuditEntry.objects.get(event="user.password").details == {"tokens": 0 if keep else 1}


def test_several_changes_at_once_treat_tokens_alike() -> None:
    for keep in (True, False):
        user = make(f"uwe-{keep}")
        token = api_token(user)
        change = {"password": "Another-77-secret", "is_active": True, "sfw_enforced": True}
        services.change_user(user, change, actor=None, keep_tokens=keep)
        assert still_works(token) is keep
    # A change that is about neither leaves them.
    user = make("ute")
    token = api_token(user)
    services.change_user(user, {"role": "power"}, actor=None)
    assert still_works(token)


# --- an account that several people share ---------------------------------------------------------


def test_nobody_makes_a_shared_account_somebodys_own(owner: User) -> None:
    shared = User.objects.create(username="guest", role=role("guest"), shared=True)
    admin = make("adam", "admin")
    attempts = [
        lambda actor: services.set_password(shared, "Another-77-secret", actor=actor),
        lambda actor: services.change_user(
            shared, {"role": "user", "password": "Another-77-secret"}, actor=actor
        ),
        lambda actor: proofs.create_api_token(
            shared, label="", scopes=None, expires_at=None, actor=actor
        ),
        lambda actor: services.set_role(shared, role("admin"), actor=actor),
        lambda actor: ranks.require_own_account(shared),
    ]
    for attempt in attempts:
        for actor in (shared, admin, owner, None):
            with pytest.raises(errors.PermissionDenied):
                attempt(actor)
    with pytest.raises(errors.PermissionDenied):
        services.transfer_ownership(owner, shared)
    fresh = User.objects.get(pk=shared.pk)
    assert (fresh.role_id, fresh.password) == ("guest", shared.password)
    assert ApiToken.objects.count() == 0
    ranks.require_own_account(admin)
    services.set_role(fresh, role("user"), actor=owner)
    assert User.objects.get(pk=shared.pk).role_id == "user"


def test_a_shared_account_never_opens_the_admin_whatever_its_role_becomes() -> None:
    shared = User.objects.create(username="guest", role=role("guest"), shared=True)
    Role.objects.filter(slug="guest").update(is_staff=True, rank=90)
    shared = User.objects.get(pk=shared.pk)
    assert (shared.is_staff, shared.is_superuser) == (False, False)


def test_a_new_password_ends_every_session() -> None:
    user = make("uwe")
    _, jwt = proofs.start_session(user, ip=None, user_agent="")
    services.set_password(user, "Another-77-secret", actor=None)
    assert not still_works(jwt)
    assert user.check_password("Another-77-secret")


def test_a_refused_password_changes_nothing() -> None:
    user = make("uwe")
    _, jwt = proofs.start_session(user, ip=None, user_agent="")
    with pytest.raises(errors.BadRequest):
        services.set_password(user, "weak", actor=None)
    assert still_works(jwt) and User.objects.get(pk=user.pk).check_password(PASSWORD)


def test_every_change_leaves_one_audit_row_that_outlives_the_account() -> None:
    admin, user = make("adam", "admin"), make("uwe")
    before = AuditEntry.objects.count()
    session, _ = proofs.start_session(user, ip="192.0.2.7", user_agent="x" * 1000)
    proofs.end_session(session, actor=user)
    proofs.end_session(session, actor=user)  # ended already: no second row
    services.set_role(user, role("power"), actor=admin)
    services.set_role(user, role("power"), actor=admin)
    services.set_password(user, "Another-77-secret", actor=admin)
    services.delete_user(user, actor=admin, keep_files=True)
    rows = AuditEntry.objects.order_by("id").values_list("event", "actor_name", "subject_name")
    assert list(rows)[before:] == [
        ("login", "uwe", "uwe"),
        ("session.ended", "uwe", "uwe"),
        ("user.role", "adam", "uwe"),
        ("user.password", "adam", "uwe"),
        ("user.deleted", "adam", "uwe"),
    ]


def test_housekeeping_removes_api_tokens_a_day_after_they_expired() -> None:
    user = make("uwe")
    now = timezone.now()
    for hours in (-25, -23, 1):
        expires_at = now + timedelta(hours=hours)
        ApiToken.objects.create(user=user, token_hash=str(hours), expires_at=expires_at)
        # A login that was begun is worth nothing the moment it expires.
        Challenge.objects.create(token_hash=str(hours), expires_at=expires_at)
    ApiToken.objects.create(user=user, token_hash="never", expires_at=None)
    assert proofs.remove_stale() == 3
    assert Challenge.objects.get().token_hash == "1"
    assert set(ApiToken.objects.values_list("token_hash", flat=True)) == {"-23", "1", "never"}


def test_housekeeping_keeps_sessions_for_30_days_after_their_end() -> None:
    """As long as they tell from where somebody logs in."""
    user = make("uwe")
    now, day, idle = timezone.now(), timedelta(days=1), timedelta(hours=12)
    ahead = now + 5 * day

    def add(agent: str, **times: object) -> None:
        given = {"expires_at": ahead, "last_used_at": now} | times
        Session.objects.create(user=user, user_agent=agent, **given)

    add("open")
    add("expired lately", expires_at=now - 29 * day)
    add("expired", expires_at=now - 31 * day)
    add("revoked lately", revoked_at=now - 29 * day)
    add("revoked", revoked_at=now - 31 * day)
    add("unused lately", last_used_at=now - 30 * day)
    add("unused", last_used_at=now - 31 * day - idle)
    assert proofs.remove_stale() == 3
    kept = set(Session.objects.values_list("user_agent", flat=True))
    assert kept == {"open", "expired lately", "revoked lately", "unused lately"}


# --- the setup token ------------------------------------------------------------------------------


def test_only_the_latest_setup_token_is_right_and_it_is_kept_hashed() -> None:
    first, second = proofs.new_setup_token(), proofs.new_setup_token()
    checks = [proofs.check_setup_token(text) for text in (first, second, "", "x")]
    assert checks == [False, True, False, False]
    with connection.cursor() as cursor:
        cursor.execute("SELECT token_hash FROM accounts_setuptoken")
        assert second not in str(cursor.fetchall())


def test_setup_token_is_gone_once_there_is_an_owner() -> None:
    token = proofs.new_setup_token()
    services.create_owner(username="olga", password=PASSWORD)
    assert not proofs.check_setup_token(token)
