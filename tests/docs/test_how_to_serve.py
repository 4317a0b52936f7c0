"""The page on serving and the files in ``deploy/`` name what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from server_fakes import application

from tinyforge.cli.main import main
from tinyforge.config.serve import ServeSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how_to/serve_a_model.md").read_text("utf-8")
DEPLOY = ROOT / "deploy"


def test_the_tables_defaults_are_the_settings() -> None:
    found = 0
    for names, defaults in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", PAGE, flags=re.MULTILINE):
        values = re.findall(r"no limit|[\d,]*\d", defaults)
        for name, value in zip(re.findall(r"`(\w+)`", names), values, strict=True):
            default = ServeSettings.model_fields[name].default
            assert value == ("no limit" if default is None else f"{default:,.0f}"), name
            found += 1
    assert found >= 9


def test_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    texts = [PAGE, *(file.read_text("utf-8") for file in DEPLOY.iterdir() if file.is_file())]
    for line in re.findall(r"tinyforge serve ([^`\n]*)", "\n".join(texts)):
        assert set(re.findall(r"--[a-z][a-z-]+", line)) <= known, line


def test_the_board_shows_metrics_that_are_counted() -> None:
    app = application()
    text = app.state.measured.text().decode()
    board = json.loads((DEPLOY / "grafana/tinyforge.json").read_text("utf-8"))
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"tinyforge_\w+", target["expr"])
    }
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, flags=re.MULTILINE))
    suffix = {"counter": "_total", "histogram": "_bucket", "gauge": ""}
    assert asked
    assert asked <= {name + suffix[kind] for name, kind in kinds.items()}


def test_manifests_are_whole() -> None:
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8"))
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    routes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")}
    assert routes == {"/ready", "/health"}
    named = {volume["name"] for volume in template["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == named
    grace = template["spec"]["terminationGracePeriodSeconds"]
    assert grace > ServeSettings().drain_seconds
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (DEPLOY / source).is_file(), source
