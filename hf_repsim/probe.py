"""The probe: the fixed audio that both models hear, streamed from the Hub, a folder or memory."""

from __future__ import annotations

from hf_repsim.audio import AudioBatch, Heard, Utterance

__all__ = ["AudioBatch", "Heard", "Utterance"]
