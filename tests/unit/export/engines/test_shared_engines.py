"""Replicas that share a folder build a bundle's engines once, whoever of them is killed, and keep the last few."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuserank_ensemble.bundle import MANIFEST, Bundle, BundleError
from fuserank_ensemble.serving.engines import EngineKey, Machine
from fuserank_ensemble.serving.lifecycle import verify
from fuserank_export.engines import fleet
from fuserank_export.engines.fleet import engines_key
from fuserank_export.engines.shared import SharedEngines
from fuserank_export.repository.successor import write_successor
from fuserank_export.sources import InputError
from support import killed_builders

L4 = Machine("8.9", "10.13.2")


def test_builders_of_one_process_id_that_are_killed_at_every_step_stop_no_other(tmp_path: Path):
    command = [sys.executable, killed_builders.__file__, str(tmp_path / "shared")]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert int(done.stdout.split()[0]) > 20


class Built:
    """A folder whose bundles are a file each, and what was said of them."""

    def __init__(self, root: Path, keep: int = 2) -> None:
        self.notes: list[str] = []
        self.built: list[str] = []
        self.shared = SharedEngines(root, keep, self.notes.append)
        self.bundles = root / "bundles"

    def use(self, key: str) -> Path:
        return self.shared.find_or_build(key, self._build, self._check)

    def _build(self, place: Path) -> None:
        self.built.append(place.name)
        place.mkdir()
        (place / MANIFEST).write_text("{}")

    def _check(self, place: Path) -> None:
        if (place / MANIFEST).read_text() != "{}":
            raise BundleError(f"{place.name}/manifest.json: differs")


def test_the_bundles_last_used_are_kept(tmp_path: Path):
    folder = Built(tmp_path)
    for second, key in enumerate("abac"):
        os.utime(folder.use(key), (second, second))
    assert folder.built == ["a", "b", "c"]
    assert sorted(path.name for path in folder.bundles.iterdir()) == ["a", "c"]
    assert folder.notes == [f"{tmp_path}/bundles/b: removed, since 2 were used later"]


def test_engines_that_no_kept_bundle_names_are_removed_and_timings_stay(tmp_path: Path):
    folder = Built(tmp_path)
    key = EngineKey("8.9", "10.13.2", "ab" * 32, "cd" * 32).to_dict()
    for name in ("sm89-trt10.13.2-abababababab-cdcdcdcd", "sm89-trt10.13.2-older-cdcdcdcd"):
        (tmp_path / "cache" / name).mkdir(parents=True)
    (tmp_path / "cache" / "trt10.13.2-sm8.9.timing.cache").touch()
    (folder.bundles / "a").mkdir(parents=True)
    (folder.bundles / "a" / MANIFEST).write_text(json.dumps({"engines": {"tensorrt": {"keys": {"encoder": key}}}}))
    folder.use("b")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        "sm89-trt10.13.2-abababababab-cdcdcdcd",
        "trt10.13.2-sm8.9.timing.cache",
    ]


def test_a_bundle_whose_files_differ_is_built_again(tmp_path: Path):
    folder = Built(tmp_path)
    (folder.use("a") / MANIFEST).write_text("cut")
    folder.use("a")
    assert folder.built == ["a", "a"]
    assert folder.notes == ["built again, since a/manifest.json: differs"]


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: cannot be written by user \d+ of group \d+ .*fsGroup"):
        Built(tmp_path / "file").use("a")

    def full(place: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(place))

    with pytest.raises(InputError, match=r"No space left on device.*; let the volume be writable .*, or larger"):
        Built(tmp_path / "full").shared.find_or_build("a", full, lambda place: None)


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A machine with an L4 whose TensorRT takes no time; returns where bundles were written."""
    written: list[Path] = []

    def write(settings, progress):
        del progress
        written.append(settings.out)
        assert (settings.target, settings.precision) == ("ensemble_tensorrt", "fp16")
        bundle = Bundle.open(settings.bundle)
        built = {"keys": {"encoder": EngineKey("8.9", "10.13.2", "", "").to_dict()}, "chosen": {}}
        engines = {**bundle.manifest["engines"], "tensorrt": built}
        write_successor(bundle, settings.out, added={}, changes={"engines": engines}, force=settings.force)

    monkeypatch.setattr(fleet, "require_builder", lambda: L4)
    monkeypatch.setattr(fleet, "gpu_models", lambda: "GPU 0: NVIDIA L4\n")
    monkeypatch.setattr(fleet, "write_engines", write)
    return written


def test_a_replica_links_the_bundle_that_an_earlier_one_has_built(tiny_bundle, builder, tmp_path, capsys, monkeypatch):
    for replica in ("first", "second"):
        (tmp_path / replica).mkdir()
        link = tmp_path / replica / "bundle"
        for _ in range(2):  # a container that is started again
            fleet.main([f"--bundle={tiny_bundle}", f"--shared={tmp_path}/engines", f"--link={link}"])
        assert link.resolve() == builder[0].resolve()
    assert len(builder) == 1
    assert builder[0].name.startswith(f"{Bundle.open(tiny_bundle, verify=()).id}-")
    assert f"with engines, at {builder[0]}\n" in capsys.readouterr().out
    arguments = [str(link), "--target=ensemble_tensorrt", f"--models={tmp_path}/models"]
    monkeypatch.setattr(Machine, "here", lambda: L4)
    assert verify.main(arguments) is None
    monkeypatch.setattr(Machine, "here", lambda: Machine("8.0", "10.13.2"))
    assert "was built for GPU of compute capability 8.9, found 8.0" in str(verify.main(arguments))


def test_a_bundle_is_named_by_all_that_decides_its_engines(tiny_bundle):
    bundle = Bundle.open(tiny_bundle, verify=())
    names = {
        engines_key(bundle, machine, gpus, precision)
        for machine in (L4, Machine("8.9", "11.0.0"), Machine("9.0", "10.13.2"))
        for gpus in ("GPU 0: NVIDIA L4", "GPU 0: NVIDIA L40S")
        for precision in ("fp16", "fp32")
    }
    assert len(names) == 12
    assert all(name.isascii() and "/" not in name for name in names)
