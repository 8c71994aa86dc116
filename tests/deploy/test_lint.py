"""The files in deploy/ by the programs that read them, or judge them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mssproject.env import ALIASES, load
from tests.deploy.tools import tool
from tests.gateway import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
# systemd's own measure, 0 to 10 (tenths here): what is left is the network and a user's own files.
EXPOSED = 20
OWN = {"web", "worker"}


def checked(*call: str, **options: Any) -> str:
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- image -------------------------------------------------------------------------------


def test_image_is_clean_to_hadolint() -> None:
    hadolint = tool("hadolint", "pip install -r requirements-dev.txt, on Linux x86_64")
    assert checked(hadolint, "--failure-threshold", "style", str(DEPLOY / "Dockerfile")) == ""


def test_image_takes_all_that_the_gateway_is_made_of_and_nothing_else() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    taken = {name for names in copied for name in names if not name.startswith(("--", "/"))}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == {
        *(taken - {"requirements*.txt"}),
        "requirements.txt",
        "requirements-*.txt",
    }
    apps = {path.parent.name for path in ROOT.glob("*/apps.py")}
    assert apps | {"templates", "manage.py"} <= taken
    assert all((ROOT / name).exists() for name in taken if "*" not in name)


def test_image_runs_as_nobody_in_particular_and_stops_as_the_supervisor_does() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    last = len(lines) - 1 - next(i for i, x in enumerate(reversed(lines)) if x.startswith("FROM "))
    final = "\n".join(lines[last:])
    assert re.search(r"^USER 10001:10001$", final, re.M)
    assert "STOPSIGNAL SIGTERM" in final and "healthcheck.py" in final
    # What builds stays in the first stage.
    assert not re.search(r"\b(apt-get|pip|gcc)\b", final)


# --- compose -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """compose.yaml as Docker understands it."""
    compose = tool("docker-compose", "pip install -r requirements-dev.txt, on Linux x86_64")
    environ = {"PUBLIC_HOST": "gw.example", "COMFYUI_IMAGE": "own/comfyui:1", "HOME": "/nowhere"}
    said = checked(compose, "config", "--format", "json", cwd=ROOT, env=environ)
    found: dict[str, Any] = json.loads(said)
    return found


def test_compose_asks_for_what_it_cannot_know() -> None:
    compose = tool("docker-compose", "pip install -r requirements-dev.txt, on Linux x86_64")
    done = subprocess.run(
        [compose, "config", "-q"], cwd=ROOT, env={}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "Set PUBLIC_HOST" in done.stderr or "Set COMFYUI_IMAGE" in done.stderr


def test_only_the_web_processes_can_be_reached_and_only_from_this_machine(
    composed: dict[str, Any],
) -> None:
    services = composed["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(published) == ["web"]
    assert [port["host_ip"] for port in published["web"]] == ["127.0.0.1"]


def test_comfyui_reaches_the_gateway_and_nothing_else(composed: dict[str, Any]) -> None:
    services, networks = composed["services"], composed["networks"]
    on = {name: set(service["networks"]) for name, service in services.items()}
    assert on["comfyui"] == {"comfy"}
    assert {name for name in on if on[name] & {"comfy"}} == OWN | {"comfyui"}
    assert on["postgres"] == on["redis"] == {"data"}
    assert networks["comfy"]["internal"] is True and networks["data"]["internal"] is True
    # Nor may it, or anybody there, say who a client is.
    trusted = services["web"]["environment"]["MSS_TRUSTED_PROXIES"]
    assert trusted == networks["front"]["ipam"]["config"][0]["gateway"]


def test_containers_hold_no_rights_and_write_nowhere_else(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name != "comfyui":
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert "healthcheck" in service or name == "web", name
        # The gateway's image has its user and its look at its health in itself.
        assert ("user" in service) != (name in OWN), name


def test_secrets_are_files(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            is_secret = re.search("PASSWORD|SECRET|DATABASE_URL|REDIS_URL|TOKEN", variable)
            assert not is_secret or variable.endswith("_FILE"), (name, variable)
            if variable.endswith("_FILE"):
                assert Path(value).name in [each["source"] for each in service["secrets"]]


def test_gateway_understands_the_settings_of_compose(
    composed: dict[str, Any], tmp_path: Path
) -> None:
    environ = dict(composed["services"]["web"]["environment"])
    contents = {
        "SECRET_KEY": "k" * 40,
        "DATABASE_URL": "postgres://mss:p@postgres/mss",
        "REDIS_URL": "redis://:p@redis:6379/0",
    }
    for name, value in contents.items():
        (tmp_path / name).write_text(value)
        environ[f"{name}_FILE"] = str(tmp_path / name)
    for name in ("MODELS", "INPUT", "OUTPUT"):
        environ[f"COMFYUI_{name}_DIR"] = str(tmp_path)
    settings = load(environ)
    assert (settings.workers, settings.force_https) == (2, True)
    assert settings.hosts() == ["gw.example"]


def test_supervisor_has_the_time_it_takes_to_stop(composed: dict[str, Any]) -> None:
    for name in OWN:
        service = composed["services"][name]
        assert service["stop_grace_period"] == "40s" and service["init"] is True
        assert service["command"] == ["python", "-m", "mssproject.supervisor", name]
        waits = {key: value["condition"] for key, value in service["depends_on"].items()}
        assert waits == {"postgres": "service_healthy", "redis": "service_healthy"}


# --- systemd -----------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units with a program that is there instead of the one that is to be installed."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/mss-login/.venv/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return [str(tmp_path / unit.name) for unit in UNITS]


def test_units_are_right_to_systemd(units: list[str]) -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    assert checked(analyze, "verify", "--man=no", *units) == ""


def test_services_are_little_exposed(units: list[str]) -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    services = [unit for unit in units if unit.endswith(".service")]
    assert len(services) == len(SERVICES) == 3
    call = (analyze, "security", "--offline=true", f"--threshold={EXPOSED}", "--no-pager")
    for service in services:
        checked(*call, service)


def test_services_differ_only_in_what_they_are() -> None:
    """Who hardens one hardens all."""
    marks = ("User=", "Protect", "Private", "Restrict", "SystemCall", "Capab", "NoNew", "UMask")
    kept = [
        [line for line in unit.read_text().splitlines() if line.startswith(marks)]
        for unit in SERVICES
    ]
    assert kept[0] == kept[1] == kept[2] and len(kept[0]) > 15
    for unit in SERVICES[1:]:
        assert "TimeoutStopSec=40\nLimitNOFILE" in unit.read_text()
        assert "KillMode=mixed" in unit.read_text()


# --- Caddy -------------------------------------------------------------------------------


def test_caddyfile_is_right_to_caddy(tmp_path: Path) -> None:
    caddy = tool("caddy", "apt-get install caddy")
    text = (DEPLOY / "Caddyfile").read_text()
    file = tmp_path / "Caddyfile"
    # It opens the log when it looks at it.
    file.write_text(text.replace("/var/log/caddy", str(tmp_path)))
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    checked(caddy, "validate", "--config", str(file), "--adapter", "caddyfile", env=environ)
    assert subprocess.check_output([caddy, "fmt", DEPLOY / "Caddyfile"], text=True) == text


def test_settings_that_the_files_name_are_known() -> None:
    """What the files tell the operator to set exists."""
    named: set[str] = set()
    for path in (DEPLOY / "nginx.conf", DEPLOY / "Caddyfile", ROOT / "compose.yaml", *UNITS):
        named |= set(re.findall(r"\b(MSS_[A-Z_]+)\b(?=[=:])", path.read_text()))
    assert len(named) > 4
    assert named <= ALIASES.keys()
