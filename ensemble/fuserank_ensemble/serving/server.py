"""The embedded server: a real tritonserver from PyPI (nvidia-pytriton) on a bundle, on this machine."""

from __future__ import annotations

import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from fuserank_ensemble.bundle import Bundle
from fuserank_ensemble.contract.experiment import PLACE as EXPERIMENT
from fuserank_ensemble.contract.experiment import ExperimentError, read_experiment
from fuserank_ensemble.serving.arms import arm_places, check_arms
from fuserank_ensemble.serving.engines import check_engines
from fuserank_ensemble.serving.environment import environment
from fuserank_ensemble.serving.models import check_path, check_without, link_models, served_models
from fuserank_ensemble.serving.signature import check_signature
from fuserank_ensemble.serving.state import check_state, choose_key_file, state_variables
from fuserank_ensemble.serving.switch.folder import FOLDER, BundlePlace, ServerNote, SwitchError, SwitchFolder
from fuserank_ensemble.serving.tritonserver import (
    Endpoints,
    ServerError,
    check_free,
    check_prerequisites,
    open_tritonserver,
    prepare_environment,
)
from fuserank_ensemble.spec import SpecError, Target, target_named
from fuserank_ensemble.state.log import StateError
from fuserank_ensemble.state.settings import StateSettings, choose_key

START_TIMEOUT_SECONDS = 120.0


class StageCrashedError(ServerError):
    """A stage's process crashed while it was started."""


class Server:
    """Runs tritonserver on a bundle, as a context manager or with `start` and `stop`.

    Args:
        bundle: The bundle's folder.
        endpoints: Where to listen.
        target: Which configurations to use, see `fuserank_ensemble.spec.TARGETS`.
        verbose: Print Triton's log as it comes.
        state: Where events are kept; None keeps none, and serves no model that changes the state.
        experiment: The file of an experiment on users; None runs none.
        promoted: A file that keeps which bundle was promoted, see `serving.switch`; None forgets it with the server.
        key_file: The key of the bundle's users, which a new state takes over; None takes what lies beside the bundle.
        without: Models beside `search` that are not served, see `serving.models`.
        shared_memory: Whether callers may register regions of shared memory, as `fuserank bench --shared-memory` does.
        trusted_key: The file of the public keys of which one must have signed each bundle; None serves any.

    Raises:
        ServerError: Where there is no such target, the state cannot be used, or something that the server needs is
            missing on this machine.
        BundleError: Where the bundle's parts do not belong together, nobody whose key is trusted has signed it, or it
            names users under another key.
    """

    def __init__(
        self,
        bundle: Path,
        endpoints: Endpoints | None = None,
        target: Target = "single_process",
        verbose: bool = False,
        state: StateSettings | None = None,
        experiment: Path | None = None,
        promoted: Path | None = None,
        key_file: Path | None = None,
        without: Sequence[str] = (),
        *,
        shared_memory: bool = False,
        trusted_key: Path | None = None,
    ) -> None:
        check_prerequisites()
        self.endpoints = endpoints or Endpoints()
        try:
            target = target_named(target)
        except SpecError as error:
            raise ServerError(str(error)) from None
        check_path(bundle)
        self.bundle = Bundle.open(bundle.resolve())
        self._trusted_key = trusted_key.absolute() if trusted_key else None
        check_signature(self.bundle, self._trusted_key)
        check_engines(self.bundle, target)
        self._target, self._promoted = target, promoted
        self.switch = SwitchFolder.of_port(self.endpoints.grpc)
        self._key_file = choose_key_file(bundle, key_file)
        try:
            self.state = state = self._checked_state(state)
        except StateError as error:
            raise ServerError(str(error)) from None
        self._experiment = experiment
        try:
            read = read_experiment(experiment) if experiment is not None else None
            if read is not None:
                check_arms(read, self.bundle, target, state, self._trusted_key)
            self._arms = tuple(place.id for place in arm_places(read))
        except (ExperimentError, StateError) as error:
            raise ServerError(str(error)) from None
        check_free(self.endpoints)
        self._backends = tempfile.TemporaryDirectory(prefix="fuserank-backends-")
        left_out = check_without(without)
        self._models = served_models(self.bundle, target, has_state=state is not None, without=left_out)
        # Triton starts its stubs through a command line split at spaces: this path has none.
        folder = Path(self._backends.name)
        repository = folder / "model_repository"
        link_models(self.bundle, target, repository, has_state=state is not None, without=left_out)
        prepare_environment()
        self._stages: dict[int, str] = {}
        self._triton = open_tritonserver(
            folder, repository, self.endpoints, target, verbose=verbose, shared_memory=shared_memory
        )

    def _checked_state(self, state: StateSettings | None) -> StateSettings | None:
        """Returns where the state is, once its users' key is known to be the bundle's.

        Raises:
            StateError: Where it cannot be used.
            BundleError: Where the key is another one.
        """
        if state is None:
            self.bundle.check_user_key(choose_key(None, self.bundle.root, self._key_file))
            return None
        if state.keeps_key_beside:  # a new log would begin with it
            key = state.key_in_file() or choose_key(None, self.bundle.root, self._key_file)
            if key is not None:
                self.bundle.check_user_key(key)
        state, key = check_state(state, self._key_file)
        if key is not None:
            self.bundle.check_user_key(key)
        return state

    def start(self, timeout: float = START_TIMEOUT_SECONDS) -> Self:
        """Starts the server and waits until all models are ready.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            ServerError: With the log's last errors, where it does not become ready.
        """
        try:
            self.switch.create(BundlePlace(self.bundle.id, str(self.bundle.root)))
        except SwitchError as error:
            raise ServerError(str(error)) from None
        try:
            self._start_triton(timeout)
        except BaseException:
            self.stop()
            raise
        self._stages = self._stage_processes()
        kept_at = self.state.to_environment() if self.state else {}
        trusted = str(self._trusted_key or "")
        self.switch.note(ServerNote(self._target, kept_at, str(self._promoted or ""), self._arms, trusted))
        return self

    def _start_triton(self, timeout: float) -> None:
        """Starts Triton and waits for its models; once more where a stage's process crashes meanwhile.

        On a machine without a free core Triton 2.51 now and then ends a stub with a C++ exception before it has run a
        line of Python.

        Raises:
            ServerError: Where it does not become ready.
        """
        try:
            self._start_once(timeout)
        except StageCrashedError:
            family = self._family()
            self._triton.stop()
            _kill(family)
            self._start_once(timeout)

    def _start_once(self, timeout: float) -> None:
        with environment(self._variables()):
            self._triton.start()
        self._wait_until_ready(timeout)

    def _variables(self) -> dict[str, str | None]:
        """What the stages' processes read of their environment."""
        experiment = str(self._experiment.resolve()) if self._experiment else None
        switch = {FOLDER: str(self.switch.path), EXPERIMENT: experiment}
        return {**state_variables(self.state, self._key_file), **switch}

    def _wait_until_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if not self._triton.is_alive():
                raise ServerError(f"the server stopped while starting:\n{self._last_errors()}")
            if "terminate called" in self.logs():
                raise StageCrashedError(f"a stage's process crashed while starting:\n{self._last_errors()}")
            if time.monotonic() > deadline:
                raise ServerError(f"the server was not ready after {timeout:.0f} s:\n{self._last_errors()}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Whether all models are loaded. They stay so when a stage's process dies: see `dead_stages`."""
        return all(self._answers(f"models/{name}/ready") for name in self._models)

    def _answers(self, path: str) -> bool:
        url = f"http://{self.endpoints.host}:{self.endpoints.http}/v2/{path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return bool(self._triton.is_alive())

    def dead_stages(self) -> list[str]:
        """Stages whose process has died. Triton 2.51 goes on without them, calls itself ready, and fails requests."""
        alive = self._stage_processes()
        return sorted({name for pid, name in self._stages.items() if pid not in alive})

    def stopped_stages(self) -> list[str]:
        """Stages whose process stands still (SIGSTOP): what comes to it waits until it goes on."""
        stopped = set()
        for pid, name in self._stages.items():
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                    stopped.add(name)
        return sorted(stopped)

    def _stage_processes(self) -> dict[int, str]:
        """The stubs of this server, by process id; a stub's command line names its instance and our backends."""
        stages = {}
        for process in psutil.Process().children(recursive=True):
            line = _command(process)
            # Triton names an instance <stage>_<group>_<number>.
            names = [word.rsplit("_", 2)[0] for word in line if word.rsplit("_", 2)[0] in self._models]
            if names and any(self._backends.name in word for word in line):
                stages[process.pid] = names[0]
        return stages

    def logs(self) -> str:
        """What the server has logged."""
        return str(self._triton.logs())

    def stop(self, patience: float | None = None) -> None:
        """Stops the server, letting requests in flight end.

        Args:
            patience: Seconds to wait for that; None waits as long as Triton itself does, 30 s at most. A server whose
                stage has died may take all of them.
        """
        family = self._family()
        killing = None if patience is None else threading.Timer(patience, _kill, (family,))
        if killing:
            killing.start()
        self._triton.stop()
        if killing:
            killing.cancel()
        _kill(family)  # stages outlive a tritonserver that was killed
        self.switch.remove()
        self._backends.cleanup()

    def _family(self) -> list[psutil.Process]:
        """The server's processes, those of a tritonserver that has died too."""
        family = set(psutil.Process().children(recursive=True))
        for pid in self._stages:
            with suppress(psutil.NoSuchProcess):
                family.add(psutil.Process(pid))
        return [process for process in family if self._backends.name in " ".join(_command(process))]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _last_errors(self, count: int = 12) -> str:
        lines = [line for line in self.logs().splitlines() if line.strip()]
        errors = [line for line in lines if _tells_error(line)]
        return "\n".join((errors or lines)[-count:])


def _tells_error(line: str) -> bool:
    """Whether a line of Triton's log or of a stage tells of an error or a crash."""
    return line.startswith(("E", "F", "terminate called", "  what()")) or "Error" in line or "error:" in line


def _command(process: psutil.Process) -> list[str]:
    """Returns a process's command line; nothing of one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    """Ends processes without asking; those that have ended are left."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
