"""The viewer as a visitor meets it: started in a process of its own, asked over HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(command: list[str], url: str, *, env: dict[str, str], cwd: Path) -> Iterator[None]:
    """The process that serves `url`, from when it answers to the end of the block."""
    with subprocess.Popen(
        command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            _wait_for(url, process)
            yield
        finally:
            process.terminate()


def restored(url: str, query: str) -> str:
    """All that the page shows first for a link, as text."""
    sent = json.dumps({"data": [query]}).encode()
    request = urllib.request.Request(
        f"{url}/gradio_api/call/restore", sent, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{url}/gradio_api/call/restore/{event}", timeout=60) as answer:
        return answer.read().decode()


def _wait_for(url: str, process: subprocess.Popen, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.status == 200
            return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    process.terminate()
    raise AssertionError(f"{url} does not answer: {process.communicate()[0][-4000:]}")
