"""Nothing that the product reads can run code: no pickle, no evaluated text, no model's own code, no shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("client", "ensemble", "export", "evaluation", "benchmarks", "model_repository", "tools", "k8s")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
# Where a rule does not hold, and why nothing from outside is run.
ALLOWED = {
    ("export/fuserank_export/forked.py", "pickle"): "the result of a process that this one has forked",
    ("client/fuserank/plugins.py", "entry point"): "FuseRank's own commands, as its packages were installed",
}
SERIALISERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle"}
LOADERS = {"joblib.load", "pandas.read_pickle", "pd.read_pickle", "yaml.load", "yaml.full_load", "yaml.unsafe_load"}
SHELLS = {"os.system", "os.popen", "asyncio.create_subprocess_shell", "subprocess.getoutput"}
SETTINGS = {"weights_only", "allow_pickle", "shell", "trust_remote_code"}
MODELS = ("from_pretrained", "SentenceTransformer", "CrossEncoder")


def faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines that could run what they read, each with the rule that it breaks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            yield from ((node.lineno, "pickle") for name in module if name.partition(".")[0] in SERIALISERS)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, rule) for rule in rules_broken(node))


def dotted(node: ast.expr) -> str:
    """A name as it is written, such as `np.load`; of what is no name its last part."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def rules_broken(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    given = {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg in SETTINGS}
    if name in ("eval", "exec", "compile"):
        yield f"{name}()"
    if name in LOADERS:
        yield name
    if name.endswith("torch.load") and given.get("weights_only") != "True":
        yield "torch.load"
    if given.get("weights_only", "True") != "True":
        yield "weights_only"
    if given.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
    if name in SHELLS or given.get("shell", "False") != "False":
        yield "shell"
    if given.get("trust_remote_code", "False") != "False":
        yield "trust_remote_code"
    # Where nothing is said, the library asks whoever sits at a terminal.
    if name.split(".")[-1] in MODELS and "trust_remote_code" not in given:
        yield "trust_remote_code is not off"
    if name.endswith("entry_point.load"):
        yield "entry point"


@cache
def found() -> dict[tuple[str, str], list[int]]:
    lines: dict[tuple[str, str], list[int]] = {}
    for path in FILES:
        for line, rule in faults(ast.parse(path.read_text("utf-8"))):
            lines.setdefault((str(path.relative_to(ROOT)), rule), []).append(line)
    return lines


def test_no_file_loads_what_could_run_code():
    assert len(FILES) > 400
    assert {place: lines for place, lines in found().items() if place not in ALLOWED} == {}


def test_each_exception_is_still_needed():
    assert [place for place in ALLOWED if place not in found()] == []


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import pickle", "pickle"),
        ("from cloudpickle import loads", "pickle"),
        ("joblib.load(path)", "joblib.load"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=False)", "torch.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("yaml.load(text)", "yaml.load"),
        ("eval(text)", "eval()"),
        ("subprocess.run(text, shell=True)", "shell"),
        ("os.system(text)", "shell"),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", "trust_remote_code"),
        ("AutoModel.from_pretrained(name)", "trust_remote_code is not off"),
    ],
)
def test_what_the_rules_are_there_for_is_found(line: str, rule: str):
    assert rule in [broken for _, broken in faults(ast.parse(line))]


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)",
        "np.load(path, mmap_mode='r')",
        "model.eval()",
        "subprocess.run([program, text])",
        "AutoModel.from_pretrained(name, trust_remote_code=False)",
    ],
)
def test_what_is_safe_is_let_through(line: str):
    assert list(faults(ast.parse(line))) == []
