"""The plan of the code, kept by the code: who may import whom, how long things are, what is said.

Each test lists every offender with its file and line, so a failure reads as a list of what to do.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "hf_repsim"

# Imports point down, or along a level. A new module says here where it stands.
STANDS = {
    0: """
        chance clock intervals measures moments origin pair pairing products result rounding sample
        sample_rows schema spectrum table text_clock
    """,
    1: """
        ahead audio circumstances columns course ctc frames input_frames labels lineup location
        machine_paths markdown memory models probe reading reproduce run sample_file savepoint
        source states storage stream tensor_file tiles
    """,
    2: """
        advice alarm cells claims comparison contrast convergence differences earlier floor hearing
        identification indicators jobs listening merging model_matrix plan profile_table profiling
        reduction rescoring run_statistics session several spreading summary training trajectory
        trajectory_runs verdict_table
    """,
    3: """
        app demo evaluation experiment hub matrix_plot plot profile_plot release report selftest
        sheet space trajectory_layers trajectory_panels trajectory_plot viewer
    """,
    4: "__main__ cli terminal",
}
LEVELS = {module: level for level, names in STANDS.items() for module in names.split()}
CORE_LIBRARIES = {"torch", "numpy"}
BROUGHT_BY_DATASETS = {"fsspec", "pandas", "pyarrow"}
# A result reaches what it becomes only inside the method that is asked for it.
OURS_OF_A_RESULT = {f"hf_repsim.{name}" for name in ("storage", "trajectory_plot", "hub")}
LATE = {"result": {"pandas", "datasets"} | OURS_OF_A_RESULT}

MAX_FILE, MAX_FUNCTION, MAX_POSITIONAL = 300, 40, 3
SUPPORT = {"tests/hub_server.py"}  # a stand-in for the Hub, longer than anything we would write

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
TREES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("hf_repsim", "scripts", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
OURS = {name: tree for name, tree in TREES.items() if name.startswith("hf_repsim/")}
WRITTEN = {name: tree for name, tree in TREES.items() if name not in SUPPORT}


def module_of(name: str) -> str:
    """``hf_repsim/measures/cka.py`` -> ``measures``, the noun that has a level; '' for the top."""
    first = Path(name).parts[1]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(tree: ast.AST, *, late: bool = False) -> Iterator[tuple[int, str, bool]]:
    """(line, dotted module, whether inside a function) of each import that runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # code that is saved with a model may name its neighbours only so
                yield node.lineno, f"hf_repsim.ctc.{node.module}", late
                continue
            parts = [node.module]
            if node.module in ("hf_repsim", "hf_repsim.measures"):
                parts = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, part, late) for part in parts)
        yield from imports(node, late=late or isinstance(node, FUNCTIONS))


def is_late_and_allowed(module: str, imported: str, late: bool) -> bool:
    return late and any(imported.startswith(name) for name in LATE.get(module, ()))


def report(offenders: list[str]) -> None:
    if offenders:
        pytest.fail(f"{len(offenders)} to mend:\n" + "\n".join(offenders), pytrace=False)


def test_every_module_has_a_level_and_every_level_its_modules():
    assert {module_of(name) for name in OURS} - {""} == set(LEVELS)
    assert not [name for name in ("utils", "helpers", "misc", "common") if name in LEVELS]


def test_imports_point_down_the_levels():
    offenders = []
    for name, tree in OURS.items():
        module = module_of(name)
        for line, imported, late in imports(tree):
            package, _, rest = imported.partition(".")
            target = rest.split(".")[0]
            if package != "hf_repsim" or is_late_and_allowed(module, imported, late):
                continue
            if LEVELS.get(target, 0) > LEVELS.get(module, 0):
                offenders.append(f"{name}:{line} imports {imported}, which stands above it")
    report(offenders)


def test_the_core_needs_only_torch_and_numpy():
    allowed = CORE_LIBRARIES | {"hf_repsim"} | set(sys.stdlib_module_names)
    report(
        [
            f"{name}:{line} imports {imported}; level 0 does mathematics only"
            for name, tree in OURS.items()
            if LEVELS.get(module_of(name), 0) == 0
            for line, imported, late in imports(tree)
            if imported.split(".")[0] not in allowed
            and not is_late_and_allowed(module_of(name), imported, late)
        ]
    )


def test_the_package_imports_what_it_declares_and_declares_what_it_imports():
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needs = re.search(r"^dependencies = \[(.*?)^\]", metadata, re.M | re.S)[1]
    extras = "".join(re.findall(r"^(?:plot|train|app|evaluate) = \[(.*?)\]", metadata, re.M))
    imported = {name.split(".")[0] for tree in OURS.values() for _, name, _ in imports(tree)}
    unnamed = BROUGHT_BY_DATASETS | {"hf_repsim"} | set(sys.stdlib_module_names)
    assert imported - unnamed == set(re.findall('"([a-z_]+)', needs + extras)) - {"hf_repsim"}


def test_only_code_that_is_saved_with_a_model_names_its_neighbours_relatively():
    report(
        [
            f"{name}:{node.lineno} name the package in full"
            for name, tree in OURS.items()
            if not name.startswith("hf_repsim/ctc/")
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level
        ]
    )


def test_modules_do_not_import_each_other_in_circles():
    edges = {module_of(name): set() for name in OURS}
    for name, tree in OURS.items():
        module = module_of(name)
        for _, imported, late in imports(tree):
            target = imported.removeprefix("hf_repsim.").split(".")[0]
            if target in edges and not is_late_and_allowed(module, imported, late):
                edges[module] |= {target} - {module}
    while leaves := [module for module in edges if not edges[module]]:
        for leaf in leaves:
            del edges[leaf]
        edges = {module: targets & set(edges) for module, targets in edges.items()}
    assert not edges, f"these import each other, or stand above a circle: {edges}"


def test_only_the_command_line_prints():
    report(
        [
            f"{name}:{node.lineno} prints; return the text to cli instead"
            for name, tree in OURS.items()
            if module_of(name) != "cli"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        ]
    )


def test_files_fit_the_budget():
    lengths = {
        name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in WRITTEN
    }
    report([f"{name} has {n} lines of {MAX_FILE}" for name, n in lengths.items() if n > MAX_FILE])


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS))


def test_functions_fit_on_a_screen():
    report(
        [
            f"{name}:{node.lineno} {node.name} has {n} lines of {MAX_FUNCTION}"
            for name, tree in WRITTEN.items()
            for node in functions(tree)
            if (n := node.end_lineno - node.lineno + 1) > MAX_FUNCTION
        ]
    )


def test_options_come_by_keyword():
    offenders = []
    for name, tree in OURS.items():
        for node in functions(tree):
            given = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            given = given[given[:1] in (["self"], ["cls"]) :]
            if len(given) > MAX_POSITIONAL:
                offenders.append(f"{name}:{node.lineno} {node.name}({', '.join(given)})")
    report(offenders)


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Public classes, functions and methods of a module, with their dotted names."""
    for child in node.body:
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}{child.name}.")


def test_modules_and_public_names_say_what_they_are():
    bare = [f"{name}: the module" for name, tree in TREES.items() if not ast.get_docstring(tree)]
    for name, tree in OURS.items():
        bare += [
            f"{name}:{node.lineno} {title}"
            for title, node in public(tree)
            if not ast.get_docstring(node)
        ]
    report(bare)


def literal_text(node: ast.AST) -> str:
    """The fixed text of an expression, with a break where a value is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.FormattedValue):
        return " | "
    return "".join(literal_text(child) for child in ast.iter_child_nodes(node))


def phrases(text: str) -> set[str]:
    """Pairs of neighbouring words, and long words alone, of a message or of a pattern for one.

    Values that were put in (numbers, quoted names) are passed over, so that a pattern which names
    them meets the message that has a gap there.
    """
    text = re.sub(r"'[^' ]*'|\\[a-zA-Z]", " ", text)
    words = re.findall(r"[a-z_]+", text.lower())
    return {word for word in words if len(word) >= 6} | {" ".join(two) for two in pairwise(words)}


def raised_messages() -> dict[str, set[str]]:
    """Where an exception with a message is raised -> the phrases of that message."""
    return {
        f"{name}:{node.lineno} {literal_text(node.exc.args[0]).strip()[:100]!r}": found
        for name, tree in OURS.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args
        if (found := phrases(literal_text(node.exc.args[0])))
    }


def expected_phrases() -> set[str]:
    """What tests expect of messages: ``match=``, texts of parametrize, ``"..." in output``."""
    found = set()
    for name, tree in WRITTEN.items():
        if not Path(name).name.startswith("test_") or name == "tests/test_architecture.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "match":
                found |= phrases(literal_text(node.value))
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("parametrize"):
                for text in ast.walk(node):
                    found |= phrases(text.value) if is_text(text) else set()
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
                found |= phrases(literal_text(node.left))
    return found


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_every_message_of_an_error_is_expected_by_some_test():
    messages, expected = raised_messages(), expected_phrases()
    uses = Counter(phrase for found in messages.values() for phrase in found)
    report(
        [
            where
            for where, found in messages.items()
            # a phrase that many messages share does not tell which of them was met
            if not any(uses[phrase] <= 3 for phrase in found & expected)
        ]
    )


def test_ruff_finds_nothing_to_mend():
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
