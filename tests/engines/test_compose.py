"""docker-compose.yml and the Dockerfile by the rules of their formats, as far as a machine without Docker can tell."""

import argparse
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from runs import kill_tree, wait_until
from wire import free_port

from dags.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
PROFILES = ("fixture-web", "flink", "train", "s3", "command")
JOBS = ("trainer", "webtext")  # end by themselves: nobody waits for their health
# Of the compose specification, what is used here and what kind of value it takes.
KEYS = {
    "profiles": list, "image": str, "build": dict, "command": (str, list), "entrypoint": list, "working_dir": str, "user": str,
    "environment": dict, "volumes": list, "ports": list, "network_mode": str, "depends_on": dict, "healthcheck": dict,
}  # fmt: skip
CHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+[\w.-]*(@sha256:[0-9a-f]{64})?")


def compose() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())


SERVICES: dict[str, dict[str, Any]] = compose()["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


def stages() -> dict[str, str]:
    """Stages of the Dockerfile, and what each is from."""
    found = re.findall(r"^FROM (\S+) AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return {name: image for image, name in found}


def test_the_file_holds_what_a_compose_file_may() -> None:
    assert set(compose()) == {"x-check", "services", "volumes"}
    assert {profile for service in SERVICES.values() for profile in service["profiles"]} == set(PROFILES)


@each_service
def test_a_service_has_keys_of_the_specification(name: str) -> None:
    for key, value in SERVICES[name].items():
        assert key in KEYS, key
        assert isinstance(value, KEYS[key]), key
    words = [SERVICES[name].get(key, []) for key in ("command", "entrypoint")]
    assert all(isinstance(word, str) for line in words if isinstance(line, list) for word in line), "YAML read a word as a number"


@each_service
def test_an_image_is_pinned_or_built_here(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["build"] == {"context": ".", "target": service["build"]["target"]}
        assert service["build"]["target"] in stages()
    else:
        assert PINNED.fullmatch(service["image"]), service["image"]


@each_service
def test_a_service_that_stays_says_how_it_is(name: str) -> None:
    if name in JOBS:
        assert "healthcheck" not in SERVICES[name]
        return
    check = SERVICES[name]["healthcheck"]
    assert set(check) == CHECK_KEYS
    assert check["test"][0] == "CMD"
    program, flag, code = check["test"][1:]
    asked = re.findall(r"/dev/tcp/([^/]+)/(\d+)|//([\w.]+):(\d+)|\('([\w.]+)', (\d+)\)", code)
    assert [host for found in asked for host in found[::2] if host] in (["localhost"], ["127.0.0.1"]), "a service is asked itself"
    if program == "python":
        compile(code, name, "exec")
    else:
        assert (program, flag) == ("bash", "-c")
        subprocess.run(["bash", "-n", "-c", code], check=True, timeout=10)


@each_service
def test_what_a_service_needs_is_in_its_profile_and_can_be_waited_for(name: str) -> None:
    service = SERVICES[name]
    needed = list(service.get("depends_on", {}))
    if service.get("network_mode", "").startswith("service:"):
        needed.append(service["network_mode"].removeprefix("service:"))
        assert "ports" not in service
    for other in needed:
        assert set(SERVICES[other]["profiles"]) >= set(service["profiles"])
    for other, how in service.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@each_service
def test_volumes_are_declared_or_lie_in_the_checkout(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        assert mode in ([], ["ro"])
        if source.startswith("."):
            assert source == "./data" or (ROOT / source).is_dir()
        else:
            assert source in compose()["volumes"]


@each_service
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", []))


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (asked,) = [line for line in project["dependencies"] if line.startswith("apache-beam==")]
    beam = asked.removeprefix("apache-beam==")
    assert stages()["worker"] == f"apache/beam_python3.11_sdk:{beam}"
    lock = (ROOT / "requirements" / "engines.lock").read_text()
    assert f"apache-beam=={beam} " in lock
    assert all(f"\n{name}==" in lock for name in ("google-cloud-storage", "boto3", "trafilatura"))
    server = re.fullmatch(r"apache/beam_flink(\d+\.\d+)_job_server:(.+)", SERVICES["jobserver"]["image"])
    assert server
    assert server[2] == beam
    for name in ("jobmanager", "taskmanager"):
        assert SERVICES[name]["image"].startswith(f"flink:{server[1]}.")
    assert stages()["wheel"] == stages()["trainer"] == SERVICES["fixture-web"]["image"]


def test_the_image_holds_the_lock_of_the_tests() -> None:
    """What the core lock pins, the image's lock pins to the same version."""
    pins = [dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
            for name in ("core.lock", "engines.lock")]  # fmt: skip
    forked = {"scipy", "soupsieve"}  # one line a Python version
    assert {name: version for name, version in pins[0].items() if name not in forked} == {
        name: pins[1].get(name) for name in pins[0] if name not in forked
    }


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
        assert any(path == rule or path.startswith(f"{rule}/") for rule in allowed), path
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} <= set(" ".join(copied).split())


@pytest.mark.parametrize("name", ["fixture-web", "fake-reddit"])
def test_the_fixture_starts_and_its_health_check_hears_it(name: str) -> None:
    command, check = SERVICES[name]["command"], SERVICES[name]["healthcheck"]["test"]
    assert importlib.util.find_spec(command[2]), command
    port = str(free_port())
    known = command[command.index("--port") + 1]
    assert known in check[3]
    asked = [sys.executable, "-c", check[3].replace(known, port)]
    assert subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode != 0
    nowhere = subprocess.DEVNULL
    process = psutil.Popen([sys.executable, *command[1:-1], port], cwd=ROOT, stdout=nowhere, stderr=nowhere)
    try:
        healthy = wait_until(lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0, process=process)
        assert healthy
    finally:
        kill_tree(process)


def test_the_commands_of_webtext_are_understood() -> None:
    """What the trainer runs, and what the page on engines asks `docker compose run webtext` for."""
    page = (ROOT / "docs" / "engines.md").read_text().replace("\\\n", " ")
    asked = [line.split()[1:] for line in re.findall(r"^\$ docker compose run --rm (webtext .*)$", page, re.MULTILINE)]
    assert {words[0] for words in asked} == {"corpus", "verify"}
    for name, *words in [SERVICES["trainer"]["command"], *asked]:
        module = importlib.import_module(COMMANDS[name].module)
        parser = argparse.ArgumentParser(allow_abbrev=False)
        module.add_arguments(parser)
        getattr(module, "parse", argparse.ArgumentParser.parse_args)(parser, words)


def test_the_page_on_engines_knows_the_profiles() -> None:
    page = (ROOT / "docs" / "engines.md").read_text()
    assert set(re.findall(r"docker compose --profile (\S+)", page)) == set(PROFILES) - {"command"}


def test_compose_alone_serves_the_fixtures() -> None:
    assert "COMPOSE_PROFILES=fixture-web" in (ROOT / ".env").read_text().splitlines()


def compose_program() -> list[str]:
    """How compose is called on this machine; skips without one."""
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]):
            asked = subprocess.run([*program, "version"], capture_output=True, timeout=60, check=False)
            if asked.returncode == 0:
                return program
    pytest.skip("there is no compose on this machine")


@pytest.mark.parametrize("profile", PROFILES)
def test_compose_finds_nothing_to_say(profile: str) -> None:
    words = [*compose_program(), "--file", str(COMPOSE), "--profile", profile, "config"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.dumps(yaml.safe_load(done.stdout)["services"])
