"""`export engines` chooses engines, writes a bundle with them, and refuses what cannot be served."""

from __future__ import annotations

import io
import json
import shutil
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from rich.console import Console
from tritonclient.grpc import model_config_pb2 as pb

from fuserank_ensemble.bundle import Bundle, BundleError, sha256
from fuserank_ensemble.graph.local import LocalGraph
from fuserank_export.engines import candidates, precision
from fuserank_export.engines.parity import gate
from fuserank_export.engines.run import EngineSettings, write_engines
from fuserank_export.engines.soundness import EngineError
from fuserank_export.progress import Progress
from fuserank_export.sources import InputError


def run(bundle, out, target="ensemble_cpu", asked="auto", **more):
    settings = EngineSettings(bundle, out, target, asked, requests=60, report=out.parent / "parity.json", **more)
    written = io.StringIO()
    return write_engines(settings, Progress(Console(file=written, width=400))), written.getvalue()


def config(root, name):
    return text_format.Parse((root / "model_repository" / name).read_text(), pb.ModelConfig())


@pytest.fixture(scope="module", autouse=True)
def narrow(request):
    """The tiny shop's matrices are 32 wide: for once wide enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "MIN_INT8_WIDTH", 24)
        # A random encoder loses more in eight bits than a trained one; what is refused, test_gate.py says.
        patch.setattr(gate, "MAX_NDCG_LOSS", 0.02)
        yield


@pytest.fixture(scope="module")
def int8(tiny_bundle, tmp_path_factory):
    """A bundle in eight bits, its manifest, and the hashes of the one it was made from."""
    before = {path: sha256(path) for path in tiny_bundle.rglob("*") if path.is_file()}
    out = tmp_path_factory.mktemp("engines") / "int8"
    manifest, _ = run(tiny_bundle, out, asked="int8")
    return out, manifest, before


def test_the_new_bundle_verifies_and_has_its_own_id(int8, tiny_bundle):
    out, manifest, _ = int8
    bundle = Bundle.open(out)
    assert bundle.id == manifest["id"] != Bundle.open(tiny_bundle).id
    assert manifest["made_from"] == Bundle.open(tiny_bundle).id


def test_unchanged_files_are_hard_links_and_the_old_bundle_is_untouched(int8, tiny_bundle):
    out, _, before = int8
    assert {path: sha256(path) for path in tiny_bundle.rglob("*") if path.is_file()} == before
    for name in ("index/vectors.npy", "index/tokenizer.json", "model_repository/encoder/1/model.onnx"):
        assert (out / name).stat().st_ino == (tiny_bundle / name).stat().st_ino
    for name in ("model_repository/encoder/config.pbtxt", "model_repository/encoder/configs/single_process.pbtxt"):
        assert (out / name).stat().st_ino != (tiny_bundle / name).stat().st_ino


def test_the_configuration_names_the_chosen_engine_and_the_manifest_why(int8):
    out, manifest, _ = int8
    chosen = manifest["engines"]["cpu"]["chosen"]
    assert chosen["encoder"] in ("model.int8.onnx", "model.int8.static.onnx", "model.onnx")
    for stage, file in chosen.items():
        assert config(out, f"{stage}/config.pbtxt").default_model_filename == file
        assert (out / "model_repository" / stage / "1" / file).is_file()
        assert config(out, f"{stage}/configs/ensemble_cuda.pbtxt").default_model_filename == "model.fp16.onnx"
    rows = manifest["engines"]["cpu"]["measured"]
    assert {(row["engine"], row["method"]) for row in rows} >= {
        ("encoder", "dynamic"), ("encoder", "static"), ("ranker", "dynamic"), ("ranker", "static"),
    }  # fmt: skip
    assert set(manifest["ranker_ms"]) == {"32", "64", "128", "256"}


def test_the_report_has_a_row_for_each_engine(int8):
    out, _, _ = int8
    report = json.loads((out.parent / "parity.json").read_text())
    wanted = {
        *("engine", "kind", "precision", "max_abs_diff", "ndcg_loss_relative", "top10_overlap"),
        *("speedup_vs_fp32", "bytes"),
    }
    for row in report["engines"]:
        assert wanted <= set(row)
        assert row["speedup_vs_fp32"] > 0
        assert row["passes"] == (not row["problems"])
    both = report["engines"][-1]
    assert both["engine"] == "encoder and ranker"
    assert both["top10_overlap"] >= 0.95
    assert report["reference"] == "FP32 torch"
    page = (out.parent / "parity.md").read_text()
    assert page.count("| encoder | cpu | int8 |") >= 2


def test_the_new_bundle_ranks_as_the_old_one_does(int8, tiny_bundle):
    old, new = (LocalGraph(Bundle.open(root)) for root in (tiny_bundle, int8[0]))
    found, expected = (graph.search("whole milk", "u03", k=5) for graph in (new, old))
    assert (found["ITEM_ID"] == expected["ITEM_ID"]).all()


@pytest.mark.parametrize("name", ["encoder", "ranker"])
def test_an_engine_of_another_bundle_is_refused_by_name(int8, tiny_bundle, tmp_path, name):
    copied = shutil.copytree(int8[0], tmp_path / "copied")
    file = json.loads((copied / "manifest.json").read_text())["engines"]["cpu"]["chosen"][name]
    path = copied / "model_repository" / name / "1" / file
    other = "ranker" if name == "encoder" else "encoder"
    path.write_bytes((tiny_bundle / "model_repository" / other / "1" / "model.onnx").read_bytes())
    with pytest.raises(BundleError, match=rf"{name}/1/{file}: sha256 .* must come from one export"):
        Bundle.open(copied)


def test_half_precision_is_measured_by_rounding_and_serves_every_gpu_target(tower_bundle, tmp_path):
    manifest, _ = run(tower_bundle, tmp_path / "half", "ensemble_cuda", "fp16")
    rows = manifest["engines"]["cuda"]["measured"]
    assert [row["speedup_vs_fp32"] for row in rows] == [None] * 4
    assert all(0 < row["max_abs_diff"] < 0.1 for row in rows)
    for target in (
        "ensemble_cuda",
        "ensemble_ort_tensorrt",
        "ensemble_tensorrt",
    ):  # the last falls back: nothing has been built
        for stage in ("encoder", "text_tower", "ranker"):
            found = config(tmp_path / "half", f"{stage}/configs/{target}.pbtxt")
            assert (found.backend, found.default_model_filename) == ("onnxruntime", "model.fp16.onnx")
    assert manifest["text_tower_ms"] == Bundle.open(tower_bundle).manifest["text_tower_ms"]  # the CPU's


def broken(source, path):
    """Eight bits that all layers lost: another one alone may hardly matter to a ranking."""
    model = onnx.load(str(source))
    weights = {name for node in model.graph.node if node.op_type in ("MatMul", "Gemm") for name in node.input[1:]}
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(-values[::-1] * 3), tensor.name))
    onnx.save(model, str(path))


def test_an_engine_that_ranks_differently_fails_the_export_with_its_layers(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "write_int8", broken)
    monkeypatch.setattr(candidates, "write_int8_static", lambda source, path, feeds: broken(source, path))
    with pytest.raises(EngineError) as error:
        run(tiny_bundle, tmp_path / "out", asked="int8")
    text = str(error.value)
    assert text.startswith("encoder in int8 (dynamic) does not pass the gate: ")
    assert "layers disagree by more than 0.1, first /transformer/" in text
    assert text.endswith("Use another --precision")
    assert not (tmp_path / "out").exists()
    rows = json.loads((tmp_path / "parity.json").read_text())["engines"]
    assert {row["passes"] for row in rows if row["engine"] == "encoder"} == {False}


def test_auto_takes_fp32_where_nothing_else_passes(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "write_int8", broken)
    monkeypatch.setattr(candidates, "write_int8_static", lambda source, path, feeds: broken(source, path))
    manifest, _ = run(tiny_bundle, tmp_path / "out")
    assert manifest["engines"]["cpu"]["chosen"] == {"encoder": "model.onnx", "ranker": "model.onnx"}


def test_auto_skips_a_precision_that_cannot_be_made_and_says_why(tiny_bundle, tmp_path, monkeypatch):
    def unable(source, path):
        raise EngineError("encoder.int8.onnx: overflows")

    monkeypatch.setattr(candidates, "write_int8", unable)
    manifest, told = run(tiny_bundle, tmp_path / "out")
    assert "encoder.int8.onnx: overflows" in told
    assert manifest["engines"]["cpu"]["chosen"] == {"encoder": "model.onnx", "ranker": "model.onnx"}
    with pytest.raises(EngineError, match="overflows"):
        run(tiny_bundle, tmp_path / "other", asked="int8")


def test_without_wide_products_int8_changes_nothing_and_a_note_says_so(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "MIN_INT8_WIDTH", 64)
    manifest, told = run(tiny_bundle, tmp_path / "out", asked="int8")
    assert "encoder, as exported: nothing to gain in int8; stays in fp32" in told
    assert manifest["engines"]["cpu"]["chosen"] == {"encoder": "model.onnx", "ranker": "model.onnx"}


@pytest.mark.parametrize(
    ("target", "asked"), [("single_process", "fp16"), ("ensemble_cuda", "int8"), ("ensemble_tensorrt", "int8")]
)
def test_a_precision_that_a_target_cannot_run_is_refused(tiny_bundle, tmp_path, target, asked):
    with pytest.raises(InputError, match=rf"--precision {asked} with --target {target}: .*; allowed: auto, fp32, "):
        run(tiny_bundle, tmp_path / "out", target, asked)


def test_auto_for_a_gpu_target_without_a_gpu_is_refused_before_measuring(tmp_path):
    with pytest.raises(EngineError, match="found no GPU to measure on; run it on the machine that will serve"):
        run(tmp_path / "not opened", tmp_path / "out", "ensemble_cuda")


def test_an_existing_output_is_refused_before_measuring(tiny_bundle, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already; choose a new folder, or replace it with --force"):
        run(tiny_bundle, tmp_path / "out")


def test_queries_without_judgements_are_refused(tiny_bundle, tmp_path):
    with pytest.raises(InputError, match="--queries and --judgements: found one of them; allowed: both or neither"):
        run(tiny_bundle, tmp_path / "out", queries=tmp_path / "q.tsv")


def test_weights_with_nan_are_refused_before_measuring(tiny_bundle, tmp_path):
    copied = shutil.copytree(tiny_bundle, tmp_path / "copied")
    path = copied / "model_repository" / "encoder" / "1" / "model.onnx"
    model = onnx.load(str(path))
    weight = next(t for t in model.graph.initializer if len(t.dims) == 2)
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full(weight.dims, np.nan, np.float32), weight.name))
    onnx.save(model, str(path))
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"]["model_repository/encoder/1/model.onnx"] = sha256(path)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EngineError, match=r"encoder/1/model.onnx: weight .* holds NaN or infinity; restore"):
        run(copied, tmp_path / "out")


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed")
def test_a_dry_run_for_tensorrt_lists_profiles_and_writes_no_bundle(tiny_bundle, tmp_path):
    _, told = run(tiny_bundle, tmp_path / "out", "ensemble_tensorrt", "fp16", dry_run=True)
    assert "encoder, profile 16: {'INPUT_IDS': (1, 16), 'ATTENTION_MASK': (1, 16)} to" in told
    assert "ranker, profile 256: " in told
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_a_missing_tensorrt_is_an_error_that_says_how_to_install_it(tiny_bundle, tmp_path):
    with pytest.raises(EngineError, match=r"tensorrt: not installed; run: pip install 'fuserank\[tensorrt\]'"):
        run(tiny_bundle, tmp_path / "out", "ensemble_tensorrt", "fp16")
    assert not (tmp_path / "out").exists()
