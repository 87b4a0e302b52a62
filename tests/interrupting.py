"""Ctrl-C in the midst of a pass, for tests."""

import os
import signal

from hf_repsim.hearing import Hearing


def interrupt_after(monkeypatch, n_batches):
    """Ctrl-C when so many batches have been heard."""
    heed = Hearing._heed

    def heed_and_kill(self, ready):
        counted.append(1)
        if len(counted) == n_batches:
            os.kill(os.getpid(), signal.SIGINT)
        return heed(self, ready)

    counted = []
    monkeypatch.setattr(Hearing, "_heed", heed_and_kill)
