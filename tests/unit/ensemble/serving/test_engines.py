"""A TensorRT engine of another GPU or another TensorRT is refused before anything is served, by its file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuserank_ensemble.bundle import Bundle, BundleError
from fuserank_ensemble.serving import engines
from fuserank_ensemble.serving.engines import EngineKey, Machine, check_engines, gpu_models
from fuserank_ensemble.spec import GraphSpec

HERE = Machine("9.0", "10.13.2")
KEY = EngineKey("9.0", "10.13.2", "ab" * 32, "cd" * 32)


def bundle_of(**keys):
    measured = {"tensorrt": {"keys": {stage: key.to_dict() for stage, key in keys.items()}}} if keys else {}
    return Bundle(Path("shop"), {"engines": measured}, GraphSpec())


def test_engines_of_this_machine_are_served():
    check_engines(bundle_of(encoder=KEY, ranker=KEY), "ensemble_tensorrt", HERE)


@pytest.mark.parametrize(
    ("here", "reason"),
    [
        (Machine("8.6", "10.13.2"), "was built for GPU of compute capability 9.0, found 8.6"),
        (Machine("9.0", "11.0.0"), "was built for TensorRT 10.13.2, found 11.0.0"),
        (Machine("", "10.13.2"), "found none"),
    ],
)
def test_engines_of_another_machine_are_refused_with_the_remedy(here, reason):
    with pytest.raises(BundleError) as error:
        check_engines(bundle_of(ranker=KEY), "ensemble_tensorrt", here)
    text = str(error.value)
    assert text.startswith("shop/model_repository/ranker/1/model.plan: ")
    assert reason in text
    assert (
        "build it here with `fuserank export engines --target ensemble_tensorrt`, or serve with --target ensemble_cuda"
        in text
    )


@pytest.mark.parametrize("target", ["single_process", "ensemble_cpu", "ensemble_cuda", "ensemble_ort_tensorrt"])
def test_other_targets_have_no_engines_to_fit(target):
    check_engines(bundle_of(encoder=KEY), target, Machine("", ""))


def test_a_bundle_without_engines_falls_back_and_needs_no_gpu():
    check_engines(bundle_of(), "ensemble_tensorrt", Machine("", ""))
    check_engines(Bundle(Path("shop"), {}, GraphSpec()), "ensemble_tensorrt", Machine("", ""))


def test_each_part_of_a_key_has_a_folder_of_its_own():
    others = [
        EngineKey("8.6", "10.13.2", "ab" * 32, "cd" * 32),
        EngineKey("9.0", "11.0.0", "ab" * 32, "cd" * 32),
        EngineKey("9.0", "10.13.2", "ef" * 32, "cd" * 32),
        EngineKey("9.0", "10.13.2", "ab" * 32, "01" * 32),
    ]
    assert KEY.folder == "sm90-trt10.13.2-abababababab-cdcdcdcd"
    assert len({key.folder for key in (KEY, *others)}) == 5


def test_a_machine_without_a_driver_or_tensorrt_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engines, "LIBRARIES", ("libno-such-nvinfer.so",))
    assert Machine.here() == Machine("", "")


def test_the_driver_is_asked_for_the_compute_capability(monkeypatch, tmp_path):
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 9.0\necho 8.6\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert Machine.here().compute_capability == "9.0"


def test_gpus_are_told_apart_by_model_and_slice_and_not_by_serial_number(monkeypatch, tmp_path):
    command = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert gpu_models() == ""
    found = []
    for serial in ("1d", "2e"):
        lines = f"GPU 0: NVIDIA A100 (UUID: GPU-{serial})\n  MIG 1g.5gb      Device  0: (UUID: MIG-{serial})\n"
        command.write_text(f"#!/bin/sh\ncat <<'LINES'\n{lines}LINES\n")
        command.chmod(0o755)
        found.append(gpu_models())
    assert found == ["GPU 0: NVIDIA A100\n  MIG 1g.5gb      Device  0:\n"] * 2
