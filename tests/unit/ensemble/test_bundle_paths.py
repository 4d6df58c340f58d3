"""Whatever a manifest or a file of promotions says, nothing outside of a bundle is opened for it."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuserank_ensemble.bundle import MANIFEST, Bundle, BundleError
from fuserank_ensemble.serving.switch.promoted import read_promoted
from support.manifests import write_manifest

parts = st.sampled_from(["..", ".", "", "index", "model_repository", "a", "~", "\\", "..\\..", "etc", "passwd", "\0"])
paths = st.one_of(st.lists(parts, min_size=1, max_size=6).map("/".join), st.text(max_size=20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bundles") / "shop"
    root.mkdir()
    (root.parent / "secret").write_text("secret")
    return root


def hashed_by(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> list[Path]:
    """The files that are read for a manifest that names one file."""
    read: list[Path] = []

    def note(path: Path) -> str:
        read.append(path)
        return "0"

    with monkeypatch.context() as patch:
        patch.setattr("fuserank_ensemble.bundle.sha256", note)
        write_manifest(folder, files={name: "0"})
        try:
            Bundle.open(folder)
        except BundleError as error:
            assert str(folder) in str(error)
    return read


@given(name=paths)
@example("../secret")
@example("/etc/passwd")
@example("index/../../secret")
@example("index//../../secret")
@example("\0")
@example("")
def test_no_file_outside_of_the_bundle_is_read_for_its_manifest(folder, name):
    with pytest.MonkeyPatch.context() as monkeypatch:
        for path in hashed_by(monkeypatch, name, folder):
            assert path.resolve().is_relative_to(folder.resolve())
            assert ".." not in PurePosixPath(name).parts


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "index/../../secret", "./index/a", "index//a"])
def test_a_path_that_leads_out_is_named_with_what_is_allowed(folder, name):
    write_manifest(folder, files={name: "0"})
    with pytest.raises(BundleError, match="allowed: paths within the bundle") as caught:
        Bundle.open(folder)
    assert repr(name) in str(caught.value)


@given(name=st.one_of(paths, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)))
def test_an_id_can_name_a_folder_and_nothing_else(folder, name):
    write_manifest(folder, id=name)
    try:
        bundle = Bundle.open(folder)
    except BundleError as error:
        assert "id: found" in str(error)
    else:
        assert (folder / bundle.id).parent == folder
        assert bundle.id not in (".", "..")


@given(chosen=paths)
@example("../../../../secret")
def test_an_engine_is_one_of_the_files(folder, chosen):
    write_manifest(folder, engines={"cpu": {"chosen": {"encoder": chosen}}})
    bundle = Bundle.open(folder)
    with pytest.raises((BundleError, ValueError)):
        bundle.engine("encoder")


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | paths,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["served", "previous", "id"]), inner),
    max_leaves=6,
)
places = st.fixed_dictionaries({"id": paths, "folder": paths})


@given(
    content=st.one_of(
        st.binary(max_size=30),
        st.one_of(documents, st.fixed_dictionaries({"served": places})).map(lambda value: json.dumps(value).encode()),
    )
)
def test_a_file_of_promotions_names_a_folder_or_is_refused(tmp_path_factory, folder, content):
    pointer = folder.parent / "promoted.json"
    pointer.write_bytes(content)
    try:
        served = read_promoted(pointer, folder)
    except BundleError as error:
        assert "remove" in str(error)
    else:
        # Whatever is named has to be a bundle, whose hashes are compared.
        assert served.exists()
        assert served == folder or not (served / MANIFEST).exists()
