"""Where the chart names a key, no container goes on with a bundle that the key has not signed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.charts import Manifest, merged, only, pod

TRUSTED: Manifest = {"bundle": {"trustedKey": "shop-keys"}}
REFRESH: Manifest = {
    "bundle": {"path": "shop", "pvc": {"claimName": "bundles", "accessMode": "ReadWriteMany"}},
    "state": {"kind": "redis", "redis": {"url": "redis://redis:6379/0"}},
    "refresh": {"enabled": True},
}
SIGNED: Manifest = merged(merged(TRUSTED, REFRESH), {"refresh": {"signingKeySecretName": "signing"}})


def job_pod() -> dict[str, Any]:
    return dict(only("CronJob", SIGNED, name="shop-refresh")["spec"]["jobTemplate"]["spec"]["template"]["spec"])


def assert_told_of_the_key(container: dict[str, Any], spec: dict[str, Any]) -> None:
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["FUSERANK_TRUSTED_KEY"] == "/trusted-key/trusted.pem"
    assert {"name": "trusted-key", "mountPath": "/trusted-key", "readOnly": True} in container["volumeMounts"]
    assert {"name": "trusted-key", "configMap": {"name": "shop-keys"}} in spec["volumes"]


def test_no_key_is_looked_for_unless_one_is_named():
    rendered = str([pod(), pod(REFRESH)])
    assert "trusted-key" not in rendered
    assert "FUSERANK_TRUSTED_KEY" not in rendered


def test_the_check_before_triton_is_told_whose_signature_counts():
    spec = pod(TRUSTED)
    (verify,) = spec["initContainers"]
    assert_told_of_the_key(verify, spec)


def test_what_follows_and_what_promotes_are_told_too():
    spec = pod(SIGNED)
    assert_told_of_the_key(next(each for each in spec["containers"] if each["name"] == "switch"), spec)
    assert_told_of_the_key(job_pod()["containers"][0], job_pod())


def test_the_private_key_is_with_the_job_alone():
    assert "signing" not in str(pod(SIGNED))
    volumes = {each["name"]: each for each in job_pod()["volumes"]}
    assert volumes["signing-key"]["secret"] == {"secretName": "signing", "defaultMode": 0o440}
    assert {"name": "signing-key", "mountPath": "/signing-key", "readOnly": True} in job_pod()["containers"][0][
        "volumeMounts"
    ]


@pytest.mark.parametrize(("code", "steps"), [(0, ["refresh", "sign", "promote"]), (2, ["refresh", "sign"])])
def test_the_job_promotes_what_it_could_sign_and_nothing_else(tmp_path: Path, code: int, steps: list[str]):
    python, calls = tmp_path / "python3", tmp_path / "calls"
    python.write_text(f'#!/bin/sh\necho "$@" >>{calls}\ncase "$3" in sign) exit {code};; esac\n')
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FUSERANK_STATE": "redis://redis:6379/0"}
    done = subprocess.run(job_pod()["containers"][0]["command"], env=environment, check=False, timeout=60)
    assert done.returncode == code
    lines = [line.split() for line in calls.read_text().splitlines()]
    assert [line[2] for line in lines] == steps
    made = next(word.partition("=")[2] for word in lines[0] if word.startswith("--out="))
    assert all(line[3] == made for line in lines[1:])
    assert lines[1][4] == "--key=/signing-key/signing.pem"
