"""What the server lacks is named before it starts, and its command line survives any folder's name."""

from __future__ import annotations

import builtins
import os
import platform
import resource
import shutil
import socket
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fuserank_ensemble.serving import prerequisites
from fuserank_ensemble.serving import serve as serve_command
from fuserank_ensemble.serving import server as server_module
from fuserank_ensemble.serving.environment import environment
from fuserank_ensemble.serving.server import Server
from fuserank_ensemble.serving.state import check_state
from fuserank_ensemble.serving.tritonserver import (
    Endpoints,
    ServerError,
    check_free,
    check_prerequisites,
    compose_backends,
    library_folder,
    prepare_environment,
    server_arguments,
)
from fuserank_ensemble.spec import RENAMED_TARGETS
from fuserank_ensemble.state import keys
from fuserank_ensemble.state.identity import IdentityKey
from fuserank_ensemble.state.settings import State, StateSettings
from support.keys import TEST_KEY
from support.running import free_ports

Version = namedtuple("Version", "major minor micro")


@pytest.fixture
def sound_machine(monkeypatch):
    """Everything is there; each test takes one thing away."""
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.39"))
    monkeypatch.setattr(prerequisites, "libpython_folder", Path)
    monkeypatch.setitem(sys.modules, "pytriton", sys)
    return monkeypatch


def test_a_machine_with_everything_passes(sound_machine):
    check_prerequisites()


def message():
    with pytest.raises(ServerError) as error:
        check_prerequisites()
    return str(error.value)


@pytest.mark.parametrize("version", [(3, 10), (3, 13)])
def test_another_python_is_named_with_those_that_work(sound_machine, version):
    sound_machine.setattr(sys, "version_info", Version(*version, 1))
    sound_machine.setattr(platform, "python_version", lambda: "{}.{}.1".format(*version))
    assert message().startswith("Python: found {}.{}.1; allowed: 3.11 or 3.12".format(*version))


@pytest.mark.parametrize(
    ("found", "shown"),
    [(("glibc", "2.31"), "glibc 2.31"), (("glibc", "2.9"), "glibc 2.9"), (("", ""), "none"), (("musl", "1.2"), "musl")],
)
def test_an_old_or_other_c_library_is_named_with_what_to_run_instead(sound_machine, found, shown):
    sound_machine.setattr(platform, "libc_ver", lambda: found)
    text = message()
    assert text.startswith(f"C library: found {shown}")
    assert "glibc 2.35 or newer" in text
    assert "production image" in text


def test_a_missing_triton_is_named_with_the_command_that_installs_it(sound_machine):
    real = builtins.__import__

    def without_pytriton(name, *args, **kwargs):
        if name.partition(".")[0] == "pytriton":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    sound_machine.delitem(sys.modules, "pytriton")
    sound_machine.setattr(builtins, "__import__", without_pytriton)
    assert "pip install 'fuserank[embedded]'" in message()


def test_a_missing_libpython_is_named_with_the_package_that_has_it(sound_machine):
    sound_machine.setattr(prerequisites, "libpython_folder", lambda: None)
    name = f"libpython3.{sys.version_info.minor}"
    text = message()
    assert text.startswith(f"{name}.so.1.0: not found")
    assert f"apt-get install {name}" in text


def test_the_interpreters_own_library_reaches_the_servers_environment(monkeypatch, tmp_path):
    name = f"libpython3.{sys.version_info.minor}.so.1.0"
    (tmp_path / name).touch()
    settings = {"Py_ENABLE_SHARED": 1, "LIBDIR": str(tmp_path)}
    monkeypatch.setattr(prerequisites.sysconfig, "get_config_var", settings.get)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/other")
    assert prerequisites.libpython_folder() == tmp_path
    prepare_environment()
    prepare_environment()
    assert os.environ["LD_LIBRARY_PATH"] == f"{tmp_path}:/opt/other"


@pytest.mark.parametrize(
    ("limits", "raised"),
    [
        ((1_024, 4_096), (4_096, 4_096)),
        ((1_024, 2**20), (65_536, 2**20)),
        ((1_024, resource.RLIM_INFINITY), (65_536, resource.RLIM_INFINITY)),
        ((2**20, 2**20), (2**20, 2**20)),
    ],
)
def test_a_server_may_have_as_many_connections_as_the_system_allows(monkeypatch, limits, raised):
    made = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, both: made.append((kind, both)))
    prepare_environment()
    assert made == [(resource.RLIMIT_NOFILE, raised)]


def test_without_the_interpreters_library_the_systems_loader_is_asked(monkeypatch):
    monkeypatch.setattr(prerequisites.sysconfig, "get_config_var", {}.get)
    asked = []
    monkeypatch.setattr(prerequisites.ctypes, "CDLL", asked.append)
    assert prerequisites.libpython_folder() == Path()
    assert asked == [f"libpython3.{sys.version_info.minor}.so.1.0"]
    monkeypatch.setattr(prerequisites.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(name)))
    assert prerequisites.libpython_folder() is None


@pytest.fixture
def taken_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_named_before_anything_starts(taken_port, tiny_bundle, sound_machine):
    sound_machine.delitem(sys.modules, "pytriton")
    pytest.importorskip("pytriton")
    with pytest.raises(
        ServerError, match=rf"port {taken_port} on 127\.0\.0\.1: Address already in use; choose another"
    ):
        Server(tiny_bundle, Endpoints(http=taken_port))


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_does_not_exist_is_refused_like_any_other(port):
    with pytest.raises(ServerError, match=f"port {port} on"):
        check_free(Endpoints(http=port))


def test_a_host_that_is_not_this_machine_is_refused():
    with pytest.raises(ServerError, match=r"port 0 on 192\.0\.2\.1"):
        check_free(Endpoints("192.0.2.1", 0))


def test_two_endpoints_at_one_port_are_refused():
    with pytest.raises(ServerError, match="port 8000: found for two of HTTP, gRPC and metrics"):
        check_free(Endpoints("127.0.0.1", 8000, 8000, 8002))


def test_the_servers_environment_is_this_ones_again_afterwards(monkeypatch):
    monkeypatch.setenv("FUSERANK_STATE", "sqlite:/own")
    monkeypatch.delenv("FUSERANK_EXPERIMENT", raising=False)
    monkeypatch.setenv("FUSERANK_STATE_SPOOL", "/own")
    given = {"FUSERANK_STATE": "sqlite:/server", "FUSERANK_EXPERIMENT": "/ab.toml", "FUSERANK_STATE_SPOOL": None}
    with environment(given):
        assert {name: os.environ.get(name) for name in given} == given
    assert (os.environ["FUSERANK_STATE"], os.environ["FUSERANK_STATE_SPOOL"]) == ("sqlite:/own", "/own")
    assert "FUSERANK_EXPERIMENT" not in os.environ


def test_a_free_port_stays_free(taken_port):
    check_free(Endpoints("127.0.0.1", 0, 0, 0))


def test_a_folder_with_spaces_and_equals_signs_stays_one_argument():
    pytest.importorskip("pytriton")
    repository, backends = Path("/data/my shop=new/model_repository"), Path("/tmp/two  spaces")
    arguments = server_arguments(repository, backends, Endpoints("0.0.0.0", 1, 2, 3), "ensemble_cuda").to_args_list()
    assert f"--model-repository={repository}" in arguments
    assert f"--backend-directory={backends}" in arguments
    assert {"--model-config-name=ensemble_cuda", "--http-port=1", "--grpc-port=2", "--metrics-port=3"} <= set(arguments)
    assert {"--http-address=0.0.0.0", "--grpc-address=0.0.0.0", "--metrics-address=0.0.0.0"} <= set(arguments)
    assert all(argument.startswith("--") for argument in arguments)


def test_models_are_never_loaded_over_the_network():
    pytest.importorskip("pytriton")
    arguments = server_arguments(Path("/r"), Path("/b"), Endpoints(), "ensemble_cpu").to_args_list()
    assert "--model-control-mode=none" in arguments
    assert "--allow-gpu-metrics=false" in arguments


def test_shared_memory_is_opened_on_request_alone():
    pytest.importorskip("pytriton")
    for shared_memory in (False, True):
        config = server_arguments(Path("/r"), Path("/b"), Endpoints(), "ensemble_cpu", shared_memory=shared_memory)
        for name in ("http-restricted-api", "grpc-restricted-protocol"):
            closed = str(config[name]).partition(":")[0].split(",")
            assert {"model-repository", "trace", "logging"} <= {*closed}
            assert ("shared-memory" not in closed) is shared_memory


def test_the_backend_folder_holds_tritons_python_backend_and_ours(tmp_path):
    distribution = pytest.importorskip("pytriton.utils.distribution")
    compose_backends(tmp_path)
    stub = tmp_path / "python" / "triton_python_backend_stub"
    ours = distribution.get_stub_path(f"3.{sys.version_info.minor}")
    assert stub.read_bytes() == Path(ours).read_bytes()
    assert os.access(stub, os.X_OK)
    assert (tmp_path / "onnxruntime" / "model.py").is_file()


def test_tritons_libraries_are_those_beside_its_package_wherever_that_lies(tmp_path, monkeypatch):
    distribution = pytest.importorskip("pytriton.utils.distribution")
    monkeypatch.setattr(distribution, "get_root_module_path", lambda: tmp_path / "pytriton")
    assert library_folder() == Path(distribution.get_libs_path())
    (tmp_path / "nvidia_pytriton.libs").mkdir()
    assert library_folder() == tmp_path / "nvidia_pytriton.libs"


CRASH = "terminate called after throwing an instance of 'boost::interprocess::lock_exception'\n  what():  busy\n"


class CrashingTriton:
    """A Triton whose stub crashes at its first starts, with nothing but what it has printed."""

    def __init__(self, crashes: int) -> None:
        self.crashes, self.starts, self.running = crashes, 0, False

    def start(self) -> None:
        self.starts, self.running = self.starts + 1, True

    def stop(self) -> None:
        self.running = False

    def is_alive(self) -> bool:
        return self.running

    def logs(self) -> str:
        return CRASH if self.starts <= self.crashes else ""


@pytest.fixture
def crashing_server(sound_machine, tiny_bundle, monkeypatch):
    """Returns what opens a server whose Triton crashes so many times, and the Triton."""
    sound_machine.delitem(sys.modules, "pytriton")
    pytest.importorskip("pytriton")

    def open_server(crashes: int) -> tuple[Server, CrashingTriton]:
        triton = CrashingTriton(crashes)
        monkeypatch.setattr(server_module, "open_tritonserver", lambda *_, **__: triton)
        monkeypatch.setattr(Server, "is_ready", lambda self: triton.starts > triton.crashes)
        return Server(tiny_bundle, Endpoints("127.0.0.1", *free_ports())), triton

    return open_server


def test_a_stub_that_crashes_while_starting_is_started_once_more(crashing_server):
    server, triton = crashing_server(1)
    with server:
        assert (triton.starts, triton.running) == (2, True)
    assert not triton.running


def test_a_stub_that_crashes_again_is_told_with_what_it_printed(crashing_server):
    server, triton = crashing_server(2)
    with pytest.raises(ServerError, match=r"(?s)crashed while starting.*lock_exception.*what\(\):  busy"):
        server.start()
    assert (triton.starts, triton.running) == (2, False)


@pytest.fixture
def serve(sound_machine):
    import typer

    sound_machine.setattr(serve_command.signal, "signal", lambda *_: None)
    sound_machine.delitem(sys.modules, "pytriton")
    pytest.importorskip("pytriton")
    app = typer.Typer()
    app.command()(serve_command.serve)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("kind", ["nothing", "empty folder", "file"])
def test_serving_what_is_no_bundle_ends_with_one_line_and_no_traceback(serve, tmp_path, kind):
    target = tmp_path / "bundle"
    if kind == "empty folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("item_id,title\n")
    result = serve(target)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.output.startswith("error: ")
    assert str(target) in result.output.replace("\n", "")


def test_a_path_that_tritons_stages_cannot_read_is_refused_by_name_and_with_the_remedy(serve, tmp_path):
    (tmp_path / "Läden").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "Läden")
    for named in (tmp_path / "Läden" / "bundle", tmp_path / "link" / "bundle"):
        said = serve(named).output.replace("\n", "")
        assert f"{tmp_path}/Läden/bundle: a path that is not ASCII" in said
        assert "copy or move the bundle to a folder such as /srv/shop" in said


def test_a_bundle_whose_users_are_under_another_key_is_not_served_and_the_error_names_both(
    serve, tiny_bundle, tmp_path
):
    key, other = tmp_path / "key", IdentityKey(bytes.fromhex("ab" * 32))
    key.write_text("ab" * 32)
    for more in (("--state", "none"), ("--state", f"sqlite:{tmp_path / 'log.sqlite'}")):
        result = serve(tiny_bundle, "--state-key-file", key, *more)
        assert result.exit_code == 1
        said = result.output.replace("\n", "")
        assert f"hashed under the key {TEST_KEY.fingerprint}, and the key here is {other.fingerprint}" in said
        assert "--state-key-file" in said
    assert not (tmp_path / "log.sqlite").exists()  # no state begins with a key that is not the bundle's


def test_a_bundle_that_was_moved_without_its_key_says_what_to_name(serve, tiny_bundle, tmp_path):
    moved = shutil.copytree(tiny_bundle, tmp_path / "moved", copy_function=os.link)
    result = serve(moved, "--state", "none")
    assert result.exit_code == 1
    assert f"under the key {TEST_KEY.fingerprint}, and no key is given; name the key file" in result.output.replace(
        "\n", ""
    )


def test_a_new_log_takes_over_the_key_beside_the_bundle(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "new_secret", lambda: "cd" * 32)
    settings = StateSettings(f"sqlite:{tmp_path / 'log.sqlite'}")
    checked, key = check_state(settings, keys.key_file_beside(tiny_bundle))
    assert (checked, key, State.open(settings).key) == (settings, TEST_KEY, TEST_KEY)
    # One that has a key keeps it.
    (tmp_path / "own").write_text("ef" * 32)
    assert check_state(settings, tmp_path / "own")[1] == TEST_KEY
    # Redis that is away cannot tell; the file can.
    away = StateSettings("redis://127.0.0.1:1/0")
    assert check_state(away, keys.key_file_beside(tiny_bundle))[1] == TEST_KEY


@pytest.mark.parametrize(("old", "new"), RENAMED_TARGETS.items())
def test_an_old_targets_name_is_refused_with_the_new_one(serve, tmp_path, old, new):
    result = serve(tmp_path, "--target", old)
    assert result.exit_code == 2
    assert f"target {old}: was renamed to {new}" in " ".join(result.output.replace("│", " ").split())
    with pytest.raises(ServerError, match=f"target {old}: was renamed to {new}"):
        Server(tmp_path, target=old)


def test_an_unknown_target_is_refused_with_the_nearest_known_one(serve, tmp_path):
    result = serve(tmp_path, "--target", "single-process")
    assert result.exit_code == 2
    assert "did you mean 'single_process'?" in " ".join(result.output.replace("│", " ").split())
