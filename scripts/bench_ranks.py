"""A script run by several processes at once, told what torchrun would tell them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time


def run_ranks(n: int, script: str, *given: object, threads: int) -> None:
    """Run a script n times side by side, with these arguments and so many threads each.

    Raises:
        subprocess.CalledProcessError: one of them failed, and the others, which would wait for it
            in a collective, were ended.
    """
    command = [sys.executable, script, *map(str, given)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    started = []
    for rank in range(n):
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n} if n > 1 else {}
        env = os.environ | {"OMP_NUM_THREADS": str(threads)} | (place if told else {})
        started.append(subprocess.Popen(command, env=env | {k: str(v) for k, v in told.items()}))
    while None in (ended := [process.poll() for process in started]) and not any(ended):
        time.sleep(0.05)
    for process in started:
        process.kill()
        process.wait()
    if failed := list(filter(None, ended)):
        raise subprocess.CalledProcessError(failed[0], command)
