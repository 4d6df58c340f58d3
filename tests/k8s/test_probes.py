"""Probes, and how a replica ends. That they are answered as the kubelet asks them: `test_rendered_commands.py`."""

from __future__ import annotations

import pytest

from support.charts import VALUES, pod, triton, values_of

MODELS = "/models"
GRAPH = {"path": "/v2/models/search/ready", "port": "http"}


def test_startup_and_readiness_ask_the_graph_and_liveness_an_answer():
    container = triton()
    assert container["startupProbe"]["httpGet"] == GRAPH
    assert container["readinessProbe"]["httpGet"] == GRAPH
    # A dead stage leaves Triton ready and live.
    assert container["livenessProbe"]["exec"]["command"][:3] == [
        "python3",
        "-m",
        "fuserank_ensemble.serving.lifecycle.probe",
    ]


@pytest.mark.parametrize("seconds", [10, 121, 1800])
def test_the_startup_probe_waits_as_long_as_it_is_told(seconds: int):
    probe = triton({"startupSeconds": seconds})["startupProbe"]
    assert seconds <= probe["periodSeconds"] * probe["failureThreshold"] <= seconds + probe["periodSeconds"]


def test_a_probe_gives_up_before_the_kubelet_does():
    probe = triton()["livenessProbe"]
    own = next(int(word.partition("=")[2]) for word in probe["exec"]["command"] if word.startswith("--timeout="))
    assert own < probe["timeoutSeconds"] <= probe["periodSeconds"]


@pytest.mark.parametrize("name", [None, *VALUES])
def test_the_grace_period_holds_the_drain_and_tritons_exit(name: str | None):
    values = values_of(name) if name else {}
    container, grace = triton(values), pod(values)["terminationGracePeriodSeconds"]
    hook = container["lifecycle"]["preStop"]["exec"]["command"]
    drain = next(int(word.partition("=")[2]) for word in hook if word.startswith("--max-seconds="))
    leave = next(int(word.partition("=")[2]) for word in container["args"] if word.startswith("--exit-timeout-secs="))
    assert drain + leave < grace


def test_probes_reach_the_ports_that_triton_opens():
    container = triton()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name, number in ports.items():
        assert f"--{name}-port={number}" in container["args"]
    assert f"--port={ports['http']}" in container["livenessProbe"]["exec"]["command"]
    assert {f"--models={MODELS}", "--target=single_process"} <= set(container["livenessProbe"]["exec"]["command"])
    assert f"--model-repository={MODELS}" in container["args"]
    assert f"--metrics-port={ports['metrics']}" in container["lifecycle"]["preStop"]["exec"]["command"]
