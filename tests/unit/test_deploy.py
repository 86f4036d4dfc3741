"""The image and the compose file name only what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from docs.generate import environment_names
from stream.cli import main

TOP = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((TOP / "docker-compose.yml").read_text())
STAGES = {name: of for name, of in COMPOSE["services"].items() if of["image"] == "revstream"}
DOCKERFILE = (TOP / "deploy/Dockerfile").read_text()


def statements() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE))
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def internal_port(of: dict[str, Any]) -> str:
    (listen,) = (at for name, at in of["environment"].items() if name.endswith("_METRICS_LISTEN"))
    return str(listen).rpartition(":")[2]


def test_every_statement_of_the_dockerfile_is_one() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "USER", "EXPOSE", "ENTRYPOINT"}
    assert {word for word, _ in statements()} <= known


def test_the_image_copies_what_exists_and_the_build_gets_it() -> None:
    ignored = (TOP / ".dockerignore").read_text().splitlines()
    for word, rest in statements():
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (TOP / source).exists(), source
                assert f"!{source}" in ignored, source


def test_the_image_holds_every_package() -> None:
    wheel = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {source for word, rest in statements() if word == "COPY" for source in rest.split()}
    assert set(wheel["packages"]) <= copied


def test_the_image_runs_as_a_user_without_rights_and_installs_by_hash() -> None:
    assert [rest for word, rest in statements() if word == "USER"] == ["10001:10001"]
    assert "--require-hashes -r requirements/run.txt" in DOCKERFILE


def test_compose_runs_each_stage() -> None:
    assert set(STAGES) == {"topics", "gateway", "projector", "writer", "notifier"}


@pytest.mark.parametrize("name", STAGES)
def test_every_command_is_one(name: str) -> None:
    done = CliRunner().invoke(main, [*STAGES[name]["command"], "--help"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Usage: ")
    command: click.Command = main
    for word in STAGES[name]["command"]:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert not isinstance(command, click.Group)


@pytest.mark.parametrize("name", STAGES)
def test_every_environment_name_is_a_setting(name: str) -> None:
    known = environment_names()
    for variable in STAGES[name]["environment"]:
        assert variable in known or variable.removesuffix("_FILE") in known, variable
    image = dict(pair.split("=", 1) for word, rest in statements() if word == "ENV" for pair in rest.split())
    for variable in image:
        assert variable in {*known, "PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}, variable


def test_secrets_come_from_files_and_all_are_declared() -> None:
    for name, of in COMPOSE["services"].items():
        for variable, value in of.get("environment", {}).items():
            if str(value).startswith("/run/secrets/"):
                assert variable.endswith("_FILE")
                assert Path(value).name in of["secrets"], name
        assert set(of.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_stages_wait_for_the_topics_and_can_be_asked_for_their_health() -> None:
    assert STAGES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in set(STAGES) - {"topics"}:
        of = STAGES[name]
        assert of["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
        port = internal_port(of)
        check = of["healthcheck"]["test"]
        assert check[:3] == ["CMD", "python", "-c"]
        assert f"http://127.0.0.1:{port}/readyz" in check[3]
        compile(check[3], name, "exec")
        assert of["read_only"]
        assert of["cap_drop"] == ["ALL"]
        assert not any(port in str(published) for published in of.get("ports", []))


def test_mounted_folders_exist_and_volumes_are_declared() -> None:
    for of in COMPOSE["services"].values():
        for volume in of.get("volumes", []):
            source, _, inside = volume.partition(":")
            if inside:
                assert (TOP / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_prometheus_scrapes_each_stage_where_it_listens() -> None:
    config: Any = yaml.safe_load((TOP / "deploy/prometheus/prometheus.yml").read_text())
    targets = {
        (of["names"][0], of["port"]) for job in config["scrape_configs"] for of in job["dns_sd_configs"]
    }
    assert targets == {(name, int(internal_port(of))) for name, of in STAGES.items() if name != "topics"}
