"""What one of several processes runs, started as users do or forked from a server (quick).

`ranks.py FOLDER MODEL DATA...` hears each DATA and saves the sums in FOLDER.
"""

import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path

import torch
from click.testing import CliRunner

from hf_repsim import Probe, accumulate, alarm, hearing, moments, quota, savepoint
from hf_repsim.alarm import together
from hf_repsim.cli import main
from hf_repsim.earlier import Earlier
from hf_repsim.hearing import load_models
from hf_repsim.lineup import check_models
from hf_repsim.listening import listen, processes
from hf_repsim.models.speech_model import load_model
from hf_repsim.reduction import add_over_ranks
from hf_repsim.savepoint import Savepoint
from hf_repsim.several import session_of
from hf_repsim.storage import load_result

SECONDS = 1.0  # of audio in a batch
FORKED = multiprocessing.get_context("forkserver")
# what a process would import in seconds of its own
MODEL = "transformers.models.hubert.modeling_hubert"
FORKED.set_forkserver_preload(["hf_repsim.listening", "datasets.distributed", "soxr", MODEL])


class Ranks:
    """Processes that run one task, each with what it said at its end."""

    def __init__(self, n, folder, task, *arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        # on GPUs each would need one of its own
        shared |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
        self.words = [Path(folder) / f"words-{rank}.json" for rank in range(n)]
        self.all = []
        for rank, words in enumerate(self.words):
            words.unlink(missing_ok=True)
            environment = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if n > 1 else {}
            given = (environment, words, task, arguments)
            self.all.append(FORKED.Process(target=_run, args=given, daemon=True))
            self.all[-1].start()

    def __getitem__(self, rank):
        """What a process returned, or raised; None if it was killed."""
        words = self.words[rank]
        return json.loads(words.read_text()) if words.exists() else None

    def wait(self, *, seconds=60, until_one=False):
        """Wait for all, or for the first to end, and kill what is left then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (any if not until_one else all)(self.alive):
            time.sleep(0.01)
        late = self.alive
        for process in self.all:
            process.kill()
            process.join()
        assert until_one or not any(late), f"still running: {late}"
        return self

    def finish(self):
        """Wait for all, and return what they said; an error fails the test."""
        said = [self.wait()[rank] for rank in range(len(self.all))]
        assert not any(isinstance(words, list) and isinstance(words[0], str) for words in said), (
            said
        )
        return said

    @property
    def alive(self):
        return [process.is_alive() for process in self.all]


def _run(environment, words, task, arguments):
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        said = task(processes(), *arguments)
    except BaseException as error:
        said = [type(error).__name__, str(error)]
    words.write_text(json.dumps(said))


def fail(accelerator, failing):
    """Some processes fail, the others wait for them."""
    with together(accelerator) as one:
        if one.rank in failing:
            raise ValueError(f"bad audio at {one.rank}")
        one.meet()


def die(accelerator, dying):
    """One process is killed while the others wait for it."""
    alarm.BEAT_SECONDS, alarm.SILENCE_SECONDS = 0.05, 1.0
    with together(accelerator) as one:
        one.meet()
        if one.rank == dying:
            os.kill(os.getpid(), signal.SIGKILL)
        one.meet()


def count(accelerator):
    """What all processes have counted, in a first pass and a second."""
    seen = []
    with together(accelerator) as one:
        for times in (1, 2):
            one.begin()
            for _ in range(times * one.rank):
                one.count(2, 0.5)
            one.meet()
            seen.append(one.heard)
    return seen


def stop(accelerator):
    """The last process is asked to stop; the others see it."""
    alarm.BEAT_SECONDS = 0.05
    with together(accelerator) as one:
        if one.rank == one.ranks - 1:
            one.stop()
        while not one.stopped:
            time.sleep(0.01)
    return "stopped"


def warn(accelerator):
    """Whether a warning and the log would be seen."""
    import logging
    import warnings

    with together(accelerator), warnings.catch_warnings(record=True) as shown:
        warnings.warn("noise", stacklevel=1)
        return [len(shown), logging.getLogger("transformers").isEnabledFor(logging.WARNING)]


def add(accelerator, parts, folder):
    """Add up moments, of which this process has its part."""
    moments = parts[accelerator.process_index]
    add_over_ranks(moments, accelerator)
    torch.save(moments.state_dict(), folder / f"sums-{accelerator.process_index}.pt")
    return [moments.frames.n_pending, moments.sums.n_pending]


def hear(accelerator, folder, model, probe, kept=None, within=None):
    """Hear a probe in float64, with a savepoint behind each batch if `kept` names a folder.

    Three frames of each of eleven utterances at most are kept beside the sums.

    `within`: seconds within which the process kills itself.
    """
    savepoint.EVERY_SECONDS = savepoint.LEAST_RATIO = 0.0
    share = (accelerator.process_index, accelerator.num_processes)
    layers = check_models([model], layers=None, pairs="all")
    x = load_model(model, precision="fp64")
    moments.MOST_UTTERANCES = quota.MOST_UTTERANCES = 11
    how = {"pairs": "all", "device": accelerator.device, "sample_frames": 3}
    both = load_models([x], layers=layers, **how)
    if kept is not None:
        hearing.PILOT_UTTERANCES = 1
        kept = Savepoint(kept, key={"model": str(model)}, share=share)
    if within is not None:
        wait = random.SystemRandom().uniform(0, within)
        threading.Timer(wait, os.kill, (os.getpid(), signal.SIGKILL)).start()
    start = time.monotonic()
    options = {"seconds": SECONDS, "progress": False, "savepoint": kept}
    heard, _ = listen(both, probe, accelerator, **options)
    account = {"heard": both.heard.summary(), "too_short": both.too_short}
    account["sample"] = list(heard.sample.frames.items()), heard.sample.counts
    account["speakers"] = heard.sample.speakers
    sums = (heard.state_dict() | {"sample": heard.sample.rows}, heard.meta(), account)
    torch.save(sums, Path(folder) / f"{share[1]}-{share[0]}.pt")
    return time.monotonic() - start


def hear_about(accelerator, folder, pair, probe, earlier, how):
    """Hear a probe about the origin of an earlier result, which process 0 alone can read."""
    rank = accelerator.process_index
    about = partial(_earlier, earlier if rank == 0 else "nowhere")
    sums = accumulate(*pair, probe=probe, about=about, accelerator=accelerator, **how)
    torch.save((sums.state_dict(), sums.meta()), Path(folder) / f"about-{rank}.pt")


def hear_models(accelerator, folder, models, probe, how):
    """Hear a probe with several models at once."""
    session = session_of(models, probe=probe, accelerator=accelerator, precision="fp64", **how)
    session.hear()
    sums = next(session.sums())
    share = accelerator.num_processes, accelerator.process_index
    torch.save((sums.state_dict(), sums.meta()), Path(folder) / f"models-{share[0]}-{share[1]}.pt")


def _earlier(folder):
    return Earlier.of(load_result(folder))


def say(accelerator, folder, model, probe):
    """Have the decoder say what a probe has for transcripts, in float64."""
    options = {"part": "decoder", "precision": "fp64", "batch_seconds": SECONDS}
    moments = accumulate(model, probe=probe, accelerator=accelerator, **options)
    torch.save(
        (moments.state_dict(), moments.meta(), moments.provenance), _place(accelerator, folder)
    )


def command(accelerator, *words):
    """Give a command of ours; returns its exit status."""
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    return done.exit_code


def _place(accelerator, folder):
    return Path(folder) / f"{accelerator.num_processes}-{accelerator.process_index}.pt"


if __name__ == "__main__":
    folder, model, *data = sys.argv[1:]
    torch.set_num_threads(1)
    for path in data:
        hear(processes(), folder, model, Probe(path, on_bad="raise"))
