"""Writes k8s/seccomp/fuserank.json, a seccomp profile of what `fuserank serve` and `fuserank export refresh` call.

strace counts the system calls of a server of each CPU target while all of its models are asked, and of a refresh. To
them come `ALSO`: what other versions of the C library, of Python and of the kernel call for the same.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fuserank import Client

ROOT = Path(__file__).parents[1]
PROFILE = ROOT / "k8s" / "seccomp" / "fuserank.json"
FUSERANK = Path(sys.executable).parent / "fuserank"
TARGETS = ("single_process", "ensemble_cpu")
NAMESPACES = 0x7E020000  # flags of clone that make one: mount, uts, ipc, user, pid, net, cgroup
NOT_SUPPORTED = 38  # ENOSYS: the C library then calls clone, whose flags a filter can see
ALSO = (
    # Ways out, which strace does not count, and signals.
    *("exit", "exit_group", "tgkill", "tkill", "rt_sigtimedwait", "rt_sigsuspend", "rt_sigpending", "sigaltstack"),
    # Clocks, which mostly need no call.
    *("clock_gettime", "clock_getres", "gettimeofday", "time", "nanosleep", "times", "getrusage", "getcpu"),
    # Older and newer forms of the same.
    *("open", "openat2", "creat", "pipe", "dup3", "accept", "fork", "waitid", "select", "pselect6", "ppoll"),
    *("epoll_create", "epoll_pwait", "epoll_pwait2", "eventfd", "fchmodat", "fchownat", "mkdirat", "renameat2"),
    *("linkat", "symlinkat", "readlinkat", "faccessat", "utimes", "futex_waitv", "getrlimit", "setrlimit"),
    *("preadv", "pwritev", "preadv2", "pwritev2", "recvmmsg", "sendmmsg", "copy_file_range", "splice", "getdents"),
    # Files and memory.
    *("fadvise64", "statfs", "fstatfs", "fsync", "msync", "mincore", "memfd_create", "umask", "chdir", "fchdir"),
    *("getxattr", "lgetxattr", "membarrier", "sched_setscheduler", "setsid", "setpgid", "alarm", "setitimer"),
    *("timerfd_create", "timerfd_settime", "timerfd_gettime", "truncate", "chown", "lchown"),
    # The container's runtime, once the profile holds.
    *("capget", "capset", "setuid", "setgid", "setgroups", "setresuid", "setresgid", "getresuid", "getresgid"),
)  # fmt: skip


def main() -> None:
    """Traces and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    given = parser.parse_args()
    if shutil.which("strace") is None:
        sys.exit("strace: not found; install it")
    called: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        shutil.copytree(given.bundle, bundle)
        key = given.bundle.with_name(given.bundle.name + ".state")
        if key.exists():
            shutil.copytree(key, bundle.with_name("bundle.state"))
        for target in TARGETS:
            called |= _trace_server(bundle, target, Path(folder))
        refresh = ["export", "refresh", "--bundle", str(bundle), "--out", str(bundle) + "-2", "--keep-ranker"]
        called |= _traced(Path(folder), refresh)
    PROFILE.parent.mkdir(exist_ok=True)
    PROFILE.write_text(json.dumps(to_profile(called), indent=2) + "\n", "utf-8")
    allowed = len(called | {*ALSO})
    sys.stdout.write(f"{PROFILE.relative_to(ROOT)}: {len(called)} calls were seen, {allowed} are allowed\n")


def to_profile(called: set[str]) -> dict[str, Any]:
    """Returns the profile, in the form that container runtimes read."""
    plain = sorted({*called, *ALSO} - {"clone", "clone3", "socket"})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64"}],
        "syscalls": [
            {"names": plain, "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
                "comment": "processes and threads, no namespaces",
            },
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": NOT_SUPPORTED},
            *(
                {
                    "names": ["socket"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "value": family, "op": "SCMP_CMP_EQ"}],
                    "comment": comment,
                }
                for family, comment in ((1, "AF_UNIX"), (2, "AF_INET"), (10, "AF_INET6"), (16, "AF_NETLINK: addresses"))
            ),
        ],
    }


def _traced(folder: Path, command: list[str]) -> set[str]:
    """Runs a command to its end; returns the system calls that it and its children made."""
    counts = folder / "counts.txt"
    subprocess.run(["strace", "-f", "-qq", "-c", "-U", "name", "-o", counts, FUSERANK, *command], check=True)
    return _names(counts)


def _trace_server(bundle: Path, target: str, folder: Path) -> set[str]:
    """Starts a server, asks all of its models, and stops it; returns its system calls."""
    counts = folder / f"{target}.txt"
    command = ["strace", "-f", "-qq", "-c", "-U", "name", "-o", str(counts), str(FUSERANK), "serve", str(bundle)]
    command += ["--target", target, "--http-port", "9790", "--grpc-port", "9791", "--metrics-port", "9792"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        assert " ready after " in serving.stdout.readline()
        with Client("127.0.0.1:9791", timeout=60.0) as client:
            _ask(client)
        # strace goes when the server does.
        subprocess.run(["pkill", "-TERM", "-P", str(serving.pid)], check=True)
        serving.wait(120)
    return _names(counts)


def _ask(client: Client) -> None:
    first = client.search("milk", user="1", k=5, explain=True).items[0].id
    client.search("", user="1")
    client.search("mlik under $5")
    client.similar(first)
    client.suggest("mi")
    client.embed(["tea"])
    client.rerank("tea", ["green tea", "paper"])
    client.record([{"event_id": "traced", "user_id": "1", "item_id": first, "event": "purchase"}])
    client.upsert([{"item_id": first, "price": 2.0}, {"item_id": "traced", "title": "Quince jam"}])
    client.search("quince jam")
    client.delete(["traced"])


def _names(counts: Path) -> set[str]:
    lines = counts.read_text("utf-8").splitlines()
    return {line.strip() for line in lines if re.fullmatch("[a-z_][a-z0-9_]*", line.strip())} - {"syscall", "total"}


if __name__ == "__main__":
    main()
