"""Where models go: ComfyUI's folders, those of extensions, those of extra_model_paths.yaml."""

import os
import time
from pathlib import Path

import pytest

from downloads import bucket, checks, folders, parts, s3
from downloads.disk import lock
from downloads.part import Part, part_path


@pytest.fixture
def models(tmp_path: Path, settings: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "ComfyUI" / "models"
    for name in ("checkpoints", "loras", "my_pack"):
        (root / name).mkdir(parents=True)
    settings.COMFYUI_MODELS_DIR = root  # type: ignore[attr-defined]
    monkeypatch.setattr(folders, "_kept", None)
    return root


def test_folders_are_comfyuis_and_its_extensions(models: Path) -> None:
    found = folders.all_folders()
    assert {"checkpoints", "loras", "vae", "my_pack"} <= set(found)
    assert folders.places("checkpoints")[0] == models / "checkpoints"
    assert folders.named("unet") == "diffusion_models"
    assert folders.named("nope") is None
    with pytest.raises(KeyError):
        folders.places("nope")


def test_extra_paths_are_understood(models: Path, tmp_path: Path) -> None:
    (models.parent / folders.EXTRA).write_text(
        f"mine:\n  base_path: {tmp_path}/big/\n  is_default: true\n  checkpoints: sd/\n"
        "  loras: |\n    one\n    two\n"
    )
    assert folders.places("checkpoints")[0] == tmp_path / "big/sd"
    assert folders.places("loras")[0].parent == tmp_path / "big"
    assert folders.places("vae")[0] == models / "vae"


@pytest.mark.parametrize("text", ["{", "[1, 2]", "a: [", "\x00", "x" * 2_000_000])
def test_extra_paths_that_are_none_are_passed_over(models: Path, text: str) -> None:
    (models.parent / folders.EXTRA).write_text(text)
    assert folders.places("checkpoints")[0] == models / "checkpoints"


def test_nothing_is_offered_where_nothing_is_set(
    settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.COMFYUI_MODELS_DIR = None  # type: ignore[attr-defined]
    monkeypatch.setattr(folders, "_kept", None)
    assert folders.all_folders() == {}
    assert folders.names() == []
    settings.MSS_S3_BUCKET = s3.Bucket("kept")  # type: ignore[attr-defined]
    assert {"checkpoints", "loras"} <= set(folders.names())
    assert folders.named("clip") == "text_encoders"


def test_old_parts_are_removed_and_new_ones_stay(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models / "loras/u-0123456789").mkdir()
    targets = [models / "checkpoints/a.safetensors", models / "loras/u-0123456789/b.pt"]
    left = [part_path(target, "x") for target in targets]
    for target in targets:
        part = Part(target, "x", "sha256:1")
        part.write(b"half")
        part.close()
    assert parts.remove_old() == 0
    monkeypatch.setattr(parts, "KEPT_SECONDS", -1)
    (models / "checkpoints/whole.safetensors").write_bytes(b"whole")
    assert parts.remove_old() == 2
    assert not any(path.exists() for path in left)
    assert (models / "checkpoints/whole.safetensors").exists()


def test_parts_and_notes_of_other_programs_stay(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ours = models / "checkpoints", "0123456789abcdef" * 2
    kept = {
        # A browser's; one called like ours without a note; what only looks like notes of ours.
        folder / "sdxl.safetensors.part": b"half",
        folder / f"sdxl.safetensors.{ours}.part": b"half",
        folder / "my.part.json": b"{}",
        folder / f"mine.{ours}.part.json": b'{"prompt": "a cat"}',
        folder / f"noted.{ours}.part": b"half",
        folder / f"noted.{ours}.part.json": b"[]",
    }
    for path, content in kept.items():
        path.write_bytes(content)
    alone = part_path(folder / "gone.safetensors", "x")
    Part(folder / "gone.safetensors", "x", "sha256:1").close()
    alone.unlink()
    monkeypatch.setattr(parts, "KEPT_SECONDS", -1)
    assert parts.remove_old() == 0
    assert {path: path.read_bytes() for path in kept} == kept
    assert not alone.with_name(f"{alone.name}.json").exists()


def test_what_did_not_reach_the_bucket_is_removed_after_a_day(
    settings: object, tmp_path: Path
) -> None:
    settings.MSS_DATA_DIR = tmp_path  # type: ignore[attr-defined]
    now = time.time()
    for name, age in (("old", 90_000), ("new", 10), ("going on", 90_000)):
        place = tmp_path / "downloads" / name
        place.mkdir(parents=True)
        for file in (".lock", "model.safetensors"):
            (place / file).write_bytes(b"half")
            os.utime(place / file, (now - age, now - age))
    with (tmp_path / "downloads/going on/.lock").open() as held:
        lock(held.fileno())
        assert bucket.remove_old(parts.KEPT_SECONDS) == 1
    left = sorted(path.name for path in (tmp_path / "downloads").iterdir())
    assert left == ["going on", "new"]


@pytest.mark.parametrize(("installed", "ids"), [(True, []), (False, ["downloads.E001"])])
def test_bucket_without_its_package_is_an_error_at_the_start(
    settings: object, monkeypatch: pytest.MonkeyPatch, installed: bool, ids: list[str]
) -> None:
    monkeypatch.setattr(s3, "is_installed", lambda: installed)
    settings.MSS_S3_BUCKET = s3.Bucket("kept")  # type: ignore[attr-defined]
    assert [found.id for found in checks.bucket_can_be_reached(None)] == ids
    assert bucket.is_set_up() is installed
    settings.MSS_S3_BUCKET = None  # type: ignore[attr-defined]
    assert checks.bucket_can_be_reached(None) == []
    assert not bucket.is_set_up()
