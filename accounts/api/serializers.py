"""What the accounts' endpoints accept; anything else is a 400 naming the field."""

from typing import Any

from rest_framework import serializers

from accounts.services import MAX_PASSWORD_CHARS


class StrictCharField(serializers.CharField):
    """Text only: DRF would take a number or a boolean for text too."""

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class StrictBooleanField(serializers.BooleanField):
    """true or false; DRF would take "yes" and 1 as well."""

    def to_internal_value(self, data: object) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class HoursField(serializers.FloatField):
    """Any finite number: the view clamps it. DRF would take `true` for 1."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


def password_field(required: bool = True) -> StrictCharField:
    return StrictCharField(max_length=MAX_PASSWORD_CHARS, trim_whitespace=False, required=required)


class LoginSerializer(serializers.Serializer):
    username = StrictCharField(max_length=150)
    password = password_field()


class RegisterSerializer(LoginSerializer):
    setup_token = StrictCharField(max_length=200)


class PasskeyAnswerField(serializers.DictField):
    """What the browser's `navigator.credentials` answered, as JSON (`toJSON()`)."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        return data


class ProofSerializer(serializers.Serializer):
    """A second factor, and the temp token that it belongs to."""

    mfa_temp_token = StrictCharField(max_length=4096, required=False)
    code = StrictCharField(max_length=20, required=False)
    backup_code = StrictCharField(max_length=40, required=False)
    passkey = PasskeyAnswerField(required=False)


class TokenRequestSerializer(ProofSerializer):
    username = StrictCharField(max_length=150, required=False)
    password = password_field(required=False)
    expire_hours = HoursField(required=False)
    # Named like an attribute of every serializer, hence the comment for the type checker.
    label = StrictCharField(  # type: ignore[assignment]
        max_length=100, required=False, allow_blank=True
    )
    scopes = serializers.ListField(
        child=StrictCharField(max_length=64), required=False, allow_null=True, max_length=64
    )
    networks = serializers.ListField(
        child=StrictCharField(max_length=64), required=False, max_length=50
    )
    in_path = StrictBooleanField(required=False)
    require_password_reauth = serializers.BooleanField(required=False, default=False)


class TokenPrefixSerializer(serializers.Serializer):
    token_hash_prefix = StrictCharField(min_length=8, max_length=64)
