"""New interpreters that start quickly: forked from one that has loaded torch and pandas.

What asks the environment for a Hub (huggingface_hub, datasets, transformers) is not loaded there:
each process imports it anew, in an environment of its own. Called as a script, it is the server.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import types
from functools import cache
from pathlib import Path

# what transformers and datasets take seconds to load
LOADED = ("torch._dynamo", "torch.distributed.tensor", "scipy.optimize", "pandas",
          "pyarrow.parquet")  # fmt: skip
ASKING = {"huggingface_hub", "datasets", "transformers", "accelerate", "hf_repsim"}
SECONDS = 120  # that a process may take
SAID = "out", "err", "status"


def run_warm(code: str, *arguments: str, env: dict[str, str], cwd: Path) -> str:
    """What `python -c` would print of some code; AssertionError with its stderr if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out, err, status = (Path(folder, name) for name in SAID)
        os.mkfifo(status)
        asked = {"code": code, "arguments": arguments, "env": env, "cwd": str(cwd)}
        line = json.dumps(asked | {"folder": folder}).encode()
        _server().stdin.write(line + b"\n")
        with status.open() as told:  # waits for the process, then for its end
            ended = told.read()
        assert ended == "0", f"status {ended or 'none, killed'}: {err.read_text('utf-8')[-4000:]}"
        return out.read_text("utf-8")


@cache
def _server() -> subprocess.Popen:
    """The server for this process, which ends with it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PYTHONPATH"))}
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, bufsize=0, env=kept
    )
    atexit.register(server.wait)
    atexit.register(server.stdin.close)
    return server


def _serve() -> dict | None:
    """Fork a process for each line of stdin; returns there what is asked for, None at the end."""
    for name in LOADED:
        importlib.import_module(name)
    assert not ASKING & set(sys.modules)
    gc.freeze()
    for line in sys.stdin.buffer:
        if not os.fork():
            signal.alarm(SECONDS)
            return json.loads(line)
    return None


def _become(*, code: str, arguments: list[str], env: dict[str, str], cwd: str, folder: str) -> None:
    """Do in this process what a new interpreter would; who asked waits until it has ended."""
    *streams, told = (os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT) for name in SAID)
    for number, given in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(given, number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["-c", *arguments]
    sys.path[0:1] = ["", *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    status: object = 1
    try:
        exec(compile(code, "<string>", "exec"), main.__dict__)
        status = 0
    except SystemExit as end:
        status = end.code or 0
        raise
    finally:
        os.write(told, str(status).encode())


if __name__ == "__main__" and (asked := _serve()):
    _become(**asked)
