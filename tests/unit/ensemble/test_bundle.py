"""A bundle whose parts do not belong together is never served: the error names the file and what to do."""

from __future__ import annotations

import hashlib

import pytest

from fuserank_ensemble.bundle import FORMAT, Bundle, BundleError
from fuserank_ensemble.candidates.features import FEATURES
from fuserank_ensemble.spec import GraphSpec
from support import manifests

FILES = {
    "index/vectors.npy": b"vectors",
    "model_repository/encoder/1/model.onnx": b"encoder",
    "index/items/ids.npy": b"a",
}


def write_manifest(root, **changed):
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    manifests.write_manifest(root, **{"files": hashes} | changed)


@pytest.fixture
def root(tmp_path):
    """A bundle by hand, in a folder with a space."""
    root = tmp_path / "my shop"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    write_manifest(root)
    return root


def refused(root, **options):
    with pytest.raises(BundleError) as error:
        Bundle.open(root, **options)
    return str(error.value)


def test_a_whole_bundle_opens_with_its_spec(root):
    bundle = Bundle.open(root)
    assert bundle.id == "b-1"
    assert bundle.spec == GraphSpec()


@pytest.mark.parametrize("name", FILES)
def test_a_tampered_file_is_named_with_the_remedy(root, name):
    (root / name).write_bytes(FILES[name] + b"!")
    text = refused(root)
    assert text.startswith(f"{root / name}: sha256 ")
    assert "restore the file or export the bundle again" in text


def test_an_engine_of_another_export_is_refused(root):
    (root / "model_repository/encoder/1/model.onnx").write_bytes(b"another encoder")
    assert "must come from one export" in refused(root)


def test_a_missing_file_is_named_with_the_remedy(root):
    (root / "index/vectors.npy").unlink()
    assert refused(root) == f"{root / 'index/vectors.npy'}: missing; the bundle is incomplete: copy or export it again"


def test_a_stage_checks_the_files_it_uses_and_only_those(root):
    (root / "index/vectors.npy").write_bytes(b"!")
    assert Bundle.open(root, verify=("model_repository/", "index/items/")).id == "b-1"
    assert "vectors.npy" in refused(root, verify=("index/",))


@pytest.mark.parametrize("format_", [0, FORMAT + 1, "1", None, ...])
def test_another_format_is_refused_with_the_one_that_is_read(root, format_):
    write_manifest(root, format=format_)
    text = refused(root)
    assert "manifest.json: format is " in text
    assert f"this version reads {FORMAT}; export the bundle again" in text


@pytest.mark.parametrize("features", [["text_score"], [f.name for f in FEATURES][::-1], ...])
def test_a_ranker_trained_on_other_features_is_refused(root, features):
    write_manifest(root, features=features)
    text = refused(root)
    assert "the ranker was trained on features" in text
    assert "export the bundle again" in text


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'"x"', b"[" * 100_000])
def test_an_unreadable_manifest_is_named_with_the_remedy(root, content):
    (root / "manifest.json").write_bytes(content)
    text = refused(root)
    assert str(root / "manifest.json") in text
    assert "export the bundle again" in text


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": ...},
        {"spec": None},
        {"spec": {"candidate": 3}},
        {"spec": {"candidates": 3}},
        {"files": ...},
        {"files": None},
        {"files": ["index/vectors.npy"]},
        {"files": {"index/vectors.npy": 1}},
        {"id": ...},
        {"id": 1},
        {"created": "today"},
        {"user_key": ...},
        {"fields": None},
        {"counts": {"items": "many"}},
        {"inputs": {}},
        {"log_end": None},
        {"live_log": []},
        {"live_log": {"position": "1"}},
        {"events": {}},
        {"events": {"kinds": {}}},
        {"engines": ...},
        {"engines": {"cpu": {"chosen": ["model.onnx"]}}},
        {"ranker_ms": {"few": 1}},
    ],
)
def test_a_manifest_without_its_parts_is_refused_and_not_crashed_on(root, changed):
    write_manifest(root, **changed)
    text = refused(root)
    assert "manifest.json" in text
    assert "export the bundle again" in text


@pytest.mark.parametrize("engines", [{}, {"cpu": {}}, {"cpu": {"chosen": {"encoder": "/etc/passwd"}}}])
def test_an_engine_that_the_manifest_does_not_have_is_refused(root, engines):
    write_manifest(root, engines=engines)
    with pytest.raises(BundleError, match=r"engines: model_repository/encoder/1/.* is none of its files"):
        Bundle.open(root).engine("encoder")


def test_a_file_that_no_system_can_name_is_refused(root):
    write_manifest(root, files={"x" * 5_000: ""})
    assert "File name too long" in refused(root)


@pytest.mark.parametrize("kind", ["nothing", "empty folder", "file", "folder as manifest"])
def test_what_is_no_bundle_is_refused_with_how_to_make_one(tmp_path, kind):
    target = tmp_path / "x"
    if kind == "empty folder":
        target.mkdir()
    elif kind == "file":
        target.touch()
    elif kind == "folder as manifest":
        (target / "manifest.json").mkdir(parents=True)
    text = refused(target)
    assert str(target) in text
    assert "export" in text
