"""A local Hub for tests: `with LocalHub(folder) as hub: hub.run("python code")`.

The clients read their environment when they are imported, so code that talks to the Hub runs in a
process of its own, with an empty cache. Tokens: WRITE (user tester), READ (the same, read-only),
OTHER (another user). `hub.server` is the server itself (request log and faults).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hub_server import HubServer
from warm import run_warm

WRITE, READ, OTHER = "hf_tester_write", "hf_tester_read", "hf_other_write"
ROOT = Path(__file__).resolve().parents[1]


class LocalHub:
    """A Hub server under `folder`, alive inside the `with` block."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.server = HubServer(self.folder / "hub")

    def __enter__(self) -> LocalHub:
        self.server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.stop()

    def environment(self, token: str | None = WRITE, **extra: str) -> dict[str, str]:
        """The environment of a fresh client of this Hub, with a cache of its own."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        ours = {
            "HF_ENDPOINT": self.server.endpoint,
            "HF_HOME": str(self.folder / "home"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        if token is not None:
            ours["HF_TOKEN"] = token
        return {**kept, **ours, **extra}

    def run(self, code: str, *arguments: str, token: str | None = WRITE, **extra: str) -> str:
        """What `code` prints in a process of its own; its traceback is the error if it fails."""
        return run_warm(code, *arguments, env=self.environment(token, **extra), cwd=ROOT)


def run_python(code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What `code` prints in a new interpreter; AssertionError with its stderr if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
