"""Runs a command under a seccomp profile, as a container's runtime does: confined.py PROFILE COMMAND …."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pyseccomp

ACTIONS = {"SCMP_ACT_ALLOW": pyseccomp.ALLOW}
OPERATORS = {"SCMP_CMP_EQ": pyseccomp.EQ, "SCMP_CMP_MASKED_EQ": pyseccomp.MASKED_EQ}


def load(profile: dict[str, Any]) -> None:
    """Puts this process, and what it starts, under a profile.

    Args:
        profile: It, as container runtimes read it.
    """
    confinement = pyseccomp.SyscallFilter(pyseccomp.ERRNO(profile["defaultErrnoRet"]))
    for rule in profile["syscalls"]:
        action = ACTIONS.get(rule["action"]) or pyseccomp.ERRNO(rule["errnoRet"])
        arguments = [_argument(argument) for argument in rule.get("args", ())]
        for name in rule["names"]:
            confinement.add_rule(action, name, *arguments)
    confinement.load()


def _argument(argument: dict[str, Any]) -> Any:
    operator = OPERATORS[argument["op"]]
    values = (argument["value"], argument["valueTwo"]) if "valueTwo" in argument else (argument["value"],)
    return pyseccomp.Arg(argument["index"], operator, *values)


if __name__ == "__main__":
    load(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    os.execv(sys.argv[2], sys.argv[2:])
