"""Rows become lines and lines become rows: every column of every table, to the microsecond."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models

from accounts.models import ApiToken, AuditEntry, Session, User
from comfyproxy.models import PromptRecord
from mssproject.backup import counters, rows, schema
from mssproject.backup.errors import BackupError

pytestmark = pytest.mark.django_db

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
SAMPLES: dict[type["models.Field[Any, Any]"], Any] = {
    models.BooleanField: True,
    models.UUIDField: uuid.UUID("12345678-1234-5678-1234-567812345678"),
    models.DateTimeField: MOMENT,
    models.JSONField: {"a": [1, 2.5, None, True, "ü"], "big": 10**30},
    models.BinaryField: b"\x00\xff bytes",
    models.GenericIPAddressField: "2001:db8::1",
    models.FloatField: 0.1,
    models.IntegerField: 7,
    models.TextField: "text\nmit Zeilen",
    models.CharField: "Name",
}


def sample(field: "models.Field[Any, Any]") -> Any:
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return next(value for kind, value in SAMPLES.items() if isinstance(field, kind))


def tables() -> list[type[models.Model]]:
    found = apps.get_models(include_auto_created=True)
    return [model for model in found if model._meta.managed and not model._meta.proxy]


def test_every_column_of_every_table_survives() -> None:
    """By a row with a value in every column, written past all rules, and read twice."""
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints=ON")
        for model in tables():
            model._base_manager.all()._raw_delete("default")
            fields = schema.columns(model)
            values = [sample(field) for field in fields.values()]
            line = rows._ENCODER.encode(values).encode() + b"\n"
            assert rows.write(model, list(fields), iter([line])) == 1
            (read,) = rows.read(model)
            assert read == line, model
            (row,) = model._base_manager.order_by().values_list(
                *(f.attname for f in fields.values())
            )
            assert [bytes(v) if isinstance(v, memoryview) else v for v in row] == values
            model._base_manager.all()._raw_delete("default")
        cursor.execute("PRAGMA ignore_check_constraints=OFF")


def test_rows_come_back_as_they_were() -> None:
    user = User.objects.create_user("rosa", None)
    Session.objects.create(user=user, expires_at=MOMENT, ip="10.0.0.1")
    ApiToken.objects.create(user=user, token_hash="a", scopes=None, expires_at=None)
    ApiToken.objects.create(user=user, token_hash="b", scopes=[], label='"quoted"')
    PromptRecord.objects.create(user=user, number=1, result_nodes=["9"], client_id=None)
    for model in (Session, ApiToken, PromptRecord):
        before = list(model._base_manager.order_by("pk").values())
        lines = list(rows.read(model))
        model._base_manager.all().delete()
        rows.write(model, list(schema.columns(model)), iter(lines))
        assert list(model._base_manager.order_by("pk").values()) == before


def test_rows_that_do_not_fit_are_named_by_their_table() -> None:
    names = list(schema.columns(AuditEntry))
    with pytest.raises(BackupError, match="accounts_auditentry has other columns"):
        rows.write(AuditEntry, names[:-1], iter([]))
    for line in (b"[1]\n", b"{}\n", b"nonsense\n", b'[1,"no time",null,null,"","","",{},null]\n'):
        with pytest.raises(BackupError, match="accounts_auditentry"):
            rows.write(AuditEntry, names, iter([line]))


def test_lines_are_put_together_to_pieces_of_bounded_size() -> None:
    lines = [b"x" * 1_000_000 + b"\n"] * 10
    pieces = list(rows.pieces(iter(lines)))
    assert b"".join(piece for piece, _ in pieces) == b"".join(lines)
    assert [number for _, number in pieces] == [5, 5]
    assert list(rows.pieces(iter([]))) == []


def test_numbers_go_on_behind_those_that_were_given_out() -> None:
    ApiToken._base_manager.all().delete()
    user = User.objects.create_user("rosa", None)
    counters.set_last(ApiToken, 1000)
    assert counters.last(ApiToken) == 1000
    assert ApiToken.objects.create(user=user, token_hash="a").pk == 1001
    # Never back, whatever a backup says.
    counters.set_last(ApiToken, 5)
    assert ApiToken.objects.create(user=user, token_hash="b").pk == 1002
    assert counters.last(Session) is None
