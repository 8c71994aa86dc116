"""The five roles of a new installation, their capabilities as Django permissions."""

from django.db import migrations

from accounts.capabilities import DEFAULT_ROLES, DESCRIPTIONS

# Core nodes that write models into the output folder without reporting them: the result is
# offered to everyone as a model (NOTES section 6).
MODEL_WRITERS = [
    "CLIPSave",
    "CheckpointSave",
    "ImageOnlyCheckpointSave",
    "LoraSave",
    "ModelSave",
    "SaveLoRANode",
    "VAESave",
]
RESTRICTED = ("user", "guest")


def create(apps, schema_editor):
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="accounts", model="role"
    )
    permission = apps.get_model("auth", "Permission")
    permissions = {
        str(capability): permission.objects.get_or_create(
            content_type=content_type, codename=str(capability), defaults={"name": text}
        )[0]
        for capability, text in DESCRIPTIONS.items()
    }
    role_model = apps.get_model("accounts", "Role")
    for default in DEFAULT_ROLES:
        role = role_model.objects.create(
            name=default.slug,
            slug=default.slug,
            title=default.name,
            rank=default.rank,
            is_staff=default.is_staff,
            blocked_node_classes=MODEL_WRITERS if default.slug in RESTRICTED else [],
        )
        role.permissions.set(permissions[str(cap)] for cap in default.capabilities)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
