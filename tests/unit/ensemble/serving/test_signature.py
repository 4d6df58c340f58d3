"""Where keys are trusted, a bundle is served only as one of them has signed it."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from typer.testing import CliRunner

from fuserank_benchmarks.refreshing import write_twin
from fuserank_ensemble.bundle import MANIFEST, Bundle, BundleError, sha256
from fuserank_ensemble.serving.lifecycle import verify
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.signature import SIGNATURE, check_signature, fingerprint, read_trusted_keys
from fuserank_ensemble.serving.switch import fleet
from fuserank_ensemble.serving.switch.folder import BundlePlace, ServerNote, SwitchFolder
from fuserank_ensemble.serving.switch.promoted import load_promoted
from fuserank_ensemble.serving.switch.switch import promote_bundle
from fuserank_ensemble.serving.tritonserver import Endpoints
from fuserank_ensemble.state.keys import KEY_FILE, key_file_beside
from fuserank_export.cli import app
from fuserank_export.errors import ExportError
from fuserank_export.signing import read_signing_key, sign_bundle
from support.running import flipped, free_ports, replaced


class Keys:
    """A pair of keys in files, as openssl writes them."""

    def __init__(self, folder: Path, name: str) -> None:
        key = Ed25519PrivateKey.generate()
        self.fingerprint = fingerprint(key.public_key())
        self.private, self.public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
        self.private.touch(0o600)
        self.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Keys:
    return Keys(tmp_path_factory.mktemp("ours"), "signing")


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Keys:
    return Keys(tmp_path_factory.mktemp("others"), "signing")


@pytest.fixture(scope="module")
def signed(tiny_bundle, tmp_path_factory, ours) -> Path:
    """A signed copy; each test mends what it spoils."""
    root = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("signed") / "shop"))
    sign_bundle(root, ours.private)
    return root


def refusal(root: Path, trusted: Path, verify: tuple[str, ...] = ("",)) -> str:
    with pytest.raises(BundleError) as caught:
        check_signature(Bundle.open(root, verify), trusted)
    assert str(root) in str(caught.value)
    return str(caught.value)


def test_a_signed_bundle_is_taken_and_any_where_no_key_is_named(signed, tiny_bundle, ours):
    assert check_signature(Bundle.open(signed), ours.public) == ours.fingerprint
    assert check_signature(Bundle.open(tiny_bundle), None) is None


def test_an_unsigned_bundle_is_refused_with_how_to_sign_it(tiny_bundle, ours):
    message = refusal(tiny_bundle, ours.public)
    assert "is not signed" in message
    assert ours.fingerprint in message
    assert f"fuserank export sign {tiny_bundle} --key" in message


def test_another_key_is_refused_with_both_fingerprints(signed, ours, others):
    message = refusal(signed, others.public)
    assert f"signed with the key {ours.fingerprint}" in message
    assert f"allowed: signed with {others.fingerprint}" in message


def test_a_key_that_only_claims_to_be_the_trusted_one_is_refused(signed, ours, others, tmp_path):
    root = Path(shutil.copytree(signed, tmp_path / "shop"))
    sign_bundle(root, others.private)
    forged = json.loads((root / SIGNATURE).read_bytes()) | {"key": ours.fingerprint}
    (root / SIGNATURE).write_text(json.dumps(forged))
    assert f"not what the key {ours.fingerprint} has signed" in refusal(root, ours.public)


def test_a_changed_manifest_is_refused(signed, ours):
    manifest = json.loads((signed / MANIFEST).read_text("utf-8"))
    changed = json.dumps(manifest | {"created": "2020-01-01T00:00:00+00:00"}).encode()
    with replaced(signed / MANIFEST, changed):
        assert "is not what the key" in refusal(signed, ours.public)


def test_a_changed_file_is_refused_also_with_its_new_hash_in_the_manifest(signed, ours):
    name = "model_repository/search/1/model.py"
    manifest = json.loads((signed / MANIFEST).read_text("utf-8"))
    with replaced(signed / name, (signed / name).read_bytes() + b"\n# another line\n"):
        assert "differs from" in refusal(signed, ours.public)
        manifest["files"][name] = sha256(signed / name)
        with replaced(signed / MANIFEST, json.dumps(manifest).encode()):
            assert "is not what the key" in refusal(signed, ours.public)


def test_another_bundles_signature_is_refused(signed, tiny_bundle, ours, tmp_path):
    twin = write_twin(tiny_bundle, tmp_path / "twin", "a")
    shutil.copy(signed / SIGNATURE, twin / SIGNATURE)
    assert "is not what the key" in refusal(twin, ours.public)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"key": "a"}', b'{"key": 1, "signature": "AA=="}', b"[]"])
def test_a_signature_that_is_none_is_refused(signed, ours, content):
    with replaced(signed / SIGNATURE, content):
        assert str(signed / SIGNATURE) in refusal(signed, ours.public)


@pytest.mark.parametrize("at", [0, 20, -1])
def test_a_signature_with_a_changed_byte_is_refused(signed, ours, at):
    held = json.loads((signed / SIGNATURE).read_bytes())
    spoiled = flipped(b64decode(held["signature"]), at)
    held["signature"] = b64encode(spoiled).decode()
    with replaced(signed / SIGNATURE, json.dumps(held).encode()):
        assert "is not what the key" in refusal(signed, ours.public)


@pytest.mark.parametrize(
    "name", ["model_repository/encoder/1/model.py", "model_repository/evil/config.pbtxt", ".hidden"]
)
def test_a_file_that_nobody_signed_is_refused(signed, ours, name):
    added = signed / name
    made = not added.parent.exists()
    added.parent.mkdir(exist_ok=True)
    added.write_text("print('hello')")
    try:
        assert "nobody has signed it" in refusal(signed, ours.public)
        with pytest.raises(BundleError, match="nobody has signed it"):
            sign_bundle(signed, ours.private)
    finally:
        added.unlink()
        if made:
            added.parent.rmdir()


def test_a_link_is_refused_wherever_it_leads(signed, ours, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = signed / "model_repository" / "linked"
    link.symlink_to(tmp_path / "elsewhere")
    try:
        assert "is a link" in refusal(signed, ours.public)
    finally:
        link.unlink()


def test_keys_can_be_changed_one_after_the_other(signed, ours, others, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(others.public.read_bytes() + b"\n" + ours.public.read_bytes())
    assert set(read_trusted_keys(both)) == {ours.fingerprint, others.fingerprint}
    assert check_signature(Bundle.open(signed), both) == ours.fingerprint


def test_a_file_of_trusted_keys_that_holds_something_else_is_refused(signed, ours, tmp_path):
    curve = generate_private_key(SECP256R1()).public_key()
    contents = {
        "empty": b"",
        "no PEM": b"ssh-ed25519 AAAA",
        "broken": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "private": ours.private.read_bytes(),
        "curve": curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(BundleError, match="allowed: Ed25519 public keys in PEM"):
            check_signature(Bundle.open(signed, ()), path)
    with pytest.raises(BundleError, match="No such file"):
        check_signature(Bundle.open(signed, ()), tmp_path / "nowhere")


def test_a_private_key_that_cannot_sign_is_refused_with_how_to_make_one(ours, tmp_path):
    key, curve = Ed25519PrivateKey.generate(), generate_private_key(SECP256R1())
    secret = BestAvailableEncryption(b"secret")
    contents = {
        "is under a passphrase": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret),
        "found what is no private key": ours.public.read_bytes(),
        "found ECPrivateKey": curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    }
    for number, (message, content) in enumerate(contents.items()):
        path = tmp_path / str(number)
        path.touch(0o600)
        path.write_bytes(content)
        with pytest.raises(ExportError, match=message) as caught:
            read_signing_key(path)
        assert "openssl genpkey -algorithm ed25519" in str(caught.value)
    path.chmod(0o644)
    with pytest.raises(ExportError, match="chmod 600"):
        read_signing_key(path)


def test_the_command_signs_what_openssl_finds_right(tiny_bundle, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    root = write_twin(tiny_bundle, tmp_path / "twin", "a")
    private, public = tmp_path / "signing.pem", tmp_path / "trusted.pem"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True)
    done = CliRunner().invoke(app, ["sign", str(root), "--key", str(private)])
    assert done.exit_code == 0, done.output
    held = json.loads((root / SIGNATURE).read_bytes())
    assert held["key"] in done.output
    assert check_signature(Bundle.open(root), public) == held["key"]
    (tmp_path / "raw").write_bytes(b64decode(held["signature"]))
    words = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", root / MANIFEST]
    subprocess.run([*words, "-sigfile", tmp_path / "raw"], check=True, capture_output=True)


def test_a_damaged_bundle_is_not_signed(signed, ours):
    path = signed / "index" / "vectors.npy"
    with replaced(path, flipped(path.read_bytes())):
        done = CliRunner().invoke(app, ["sign", str(signed), "--key", str(ours.private)])
    assert done.exit_code == 2
    assert "differs from" in done.output.replace("\n", " ")


@pytest.fixture
def volume(tiny_bundle, tmp_path, ours, monkeypatch) -> tuple[Path, Path]:
    """A signed bundle, and one beside it that nobody signed."""
    monkeypatch.setenv(KEY_FILE, str(key_file_beside(tiny_bundle)))
    served, new = (write_twin(tiny_bundle, tmp_path / name, name) for name in ("served", "new"))
    sign_bundle(served, ours.private)
    return served, new


def test_the_container_before_triton_refuses_what_is_not_signed(volume, ours, capsys, monkeypatch):
    served, new = volume
    words = ["--target=single_process", f"--trusted-key={ours.public}"]
    assert verify.main([str(served), *words]) is None
    assert f"signed with the key {ours.fingerprint}" in capsys.readouterr().out
    assert "is not signed" in str(verify.main([str(new), *words]))
    monkeypatch.setenv("FUSERANK_TRUSTED_KEY", str(ours.public))
    assert "is not signed" in str(verify.main([str(new), words[0]]))


def test_a_server_refuses_what_is_not_signed(volume, ours, others):
    pytest.importorskip("pytriton")
    served, new = volume
    ports = Endpoints("127.0.0.1", *free_ports())
    with pytest.raises(BundleError, match="is not signed"):
        Server(new, ports, trusted_key=ours.public)
    with pytest.raises(BundleError, match=f"signed with the key {ours.fingerprint}"):
        Server(served, ports, trusted_key=others.public)


def test_a_running_server_is_not_brought_to_a_bundle_that_is_not_signed(volume, ours, tmp_path):
    served, new = volume
    folder = SwitchFolder(tmp_path / "private" / "8001")
    folder.create(BundlePlace(Bundle.open(served, ()).id, str(served)))
    folder.note(ServerNote("single_process", trusted_key=str(ours.public)))
    with pytest.raises(BundleError, match="is not signed"):
        promote_bundle(folder, new)
    assert folder.wanted().served.folder == str(served)
    sign_bundle(new, ours.private)
    # No process is there that would have to open it.
    assert promote_bundle(folder, new)[1] == Bundle.open(new, ()).id


def test_a_fleet_is_not_sent_to_a_bundle_that_is_not_signed(volume, ours):
    served, new = volume
    words = ["promote", str(new), f"--bundle={served}", f"--trusted-key={ours.public}"]
    assert "is not signed" in str(fleet.main(words))
    assert load_promoted(fleet.pointer_of(served)) is None
    sign_bundle(new, ours.private)
    assert fleet.main(words) is None
