"""The page on serving and the files in ``deploy/`` name what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from server_fakes import application

from tinyforge.cli.main import main
from tinyforge.config.safeguards import SafeguardSettings
from tinyforge.config.serve import ServeSettings
from tinyforge.records.predictions import Prediction
from tinyforge.safety.drift import Drift

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


def counted() -> set[str]:
    """The names of all that is counted, drift among it."""
    drift = Drift.from_reference(None, SafeguardSettings(drift_first=100, drift_window=100))
    for number in range(300):
        drift.observe([f"where is my card, number {number}"], [Prediction("a", 0.5, labels=("a",))])
    app = application()
    pool = app.state.pool
    pool._served = {name: replace(each, drift=drift) for name, each in pool._served.items()}
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", app.state.measured.text().decode(), flags=re.M)
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    return {name + end for name, kind in kinds for end in ends[kind]}


def test_the_board_and_the_alarms_ask_for_what_is_counted() -> None:
    board = json.loads((DEPLOY / "grafana/tinyforge.json").read_text("utf-8"))
    alarms = yaml.safe_load((DEPLOY / "alarms.yml").read_text("utf-8"))
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for group in alarms["groups"] for rule in group["rules"]]
    asked = {name for text in expressions for name in re.findall(r"tinyforge_\w+", text)}
    assert len(asked) > 15
    assert asked <= counted()


def test_panels_stand_beside_each_other() -> None:
    board = json.loads((DEPLOY / "grafana/tinyforge.json").read_text("utf-8"))
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len({panel["id"] for panel in board["panels"]}) == len(places)


def test_manifests_are_whole() -> None:
    deployment, budget, service = yaml.safe_load_all(
        (DEPLOY / "kubernetes.yaml").read_text("utf-8")
    )
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    routes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")}
    assert routes == {"/ready", "/health"}
    named = {volume["name"] for volume in template["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == named
    grace = template["spec"]["terminationGracePeriodSeconds"]
    notice = re.search(r"notice_seconds=(\d+)", " ".join(container["args"]))
    assert notice is not None
    assert grace >= float(notice[1]) + ServeSettings().drain_seconds + 5  # as workers.py has it
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith("./") or (DEPLOY / source).is_file(), source


def test_the_manifest_is_as_kubernetes_wants_it() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")):
        validate.validate(document, "1.31", strict=True)


def test_the_unit_is_as_systemd_wants_it(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    unit = (DEPLOY / "tinyforge.service").read_text("utf-8")
    assert "/opt/tinyforge/bin/tinyforge" in unit
    there = tmp_path / "tinyforge.service"
    there.write_text(unit.replace("/opt/tinyforge/bin/tinyforge", "/bin/true"))
    done = subprocess.run([analyze, "verify", str(there)], capture_output=True, text=True)
    if "is not available" in done.stderr or "Failed to" in done.stderr:
        pytest.skip("systemd-analyze does not work here")
    assert (done.returncode, done.stderr) == (0, "")
