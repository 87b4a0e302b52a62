"""What is known of families of speech models, as data; what is not said here is found out.

``FAMILIES`` is the whole of it: no other module asks what kind of model it has. A model type that
has no entry is a family of which nothing is known: where it hears and what its layers are is found
by structure (``ear``), when their frames fall is measured (``geometry``). An entry says what would
be found wrong, or can be computed instead of measured. A user's own model may need
``FAMILIES.append(Family(...))``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from hf_repsim.clock import FrameClock
from hf_repsim.front_ends import (
    Hidden,
    conv_and_lstm_layers,
    ctc_front_end,
    speech2text_front_end,
    speech2text_min_samples,
    waveform_convs,
    whisper_front_end,
    whisper_window,
)


@dataclass(frozen=True)
class Family:
    """How to find, feed and time the part of a model that hears.

    Paths are dotted names of modules: ``tower`` from the base model, the others from the tower.
    """

    model_types: tuple[str, ...]  # values of config.model_type
    # Where it hears. None: found.
    tower: str | None = None  # the module that turns features into hidden states; "": the base
    method: str | None = None  # of the tower or of a module around it, that is called
    inputs: tuple[str, ...] | None = None  # extractor outputs that the tower takes, audio first
    blocks: str | None = None  # the list of blocks whose outputs are the hidden states
    # When its frames fall. None: measured.
    front_end: Callable[[Any, Any], tuple[FrameClock, ...]] | None = None  # last: the blocks'
    window: Callable[[Any, Any], int | None] = lambda config, extractor: None  # samples, if fixed
    min_samples: Callable[[Any, Any], int] = lambda config, extractor: 1  # beside the clock's
    # Layers beside the blocks.
    convs: str | None = None  # the list of front-end stages, where these are layers of their own
    hidden: Callable[[Any], tuple[Hidden, ...]] | None = None  # where not those of the blocks
    head: str | None = None  # of the whole model: makes logits of the last states of the tower
    final: Callable[[Any], str | None] = lambda config: None  # the norm whose output is `final`
    # How it is fed.
    padding: bool | str | None = None  # of the extractor; None: as it does without being told
    padding_exact: Callable[[Any, Any], bool] = lambda config, extractor: False  # worth a check
    # the part of the tower, (rows, samples) -> (rows, channels, frames), that notices padding
    alone: Callable[[Any], str | None] = lambda config: None
    constants: Mapping[str, Any] = field(default_factory=dict)  # further arguments
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda inputs: inputs
    # How it is loaded.
    home: str = "transformers"  # has the classes; importing it makes the model types known
    harmless_missing: tuple[str, ...] = ()  # names of parameters that evaluation never reads
    optional_packages: tuple[str, ...] = ()  # whose presence changes the numbers a little
    refused: str | None = None  # why it cannot be compared

    @property
    def is_declared(self) -> bool:
        """Whether all is said here, so that nothing is measured."""
        return None not in (self.tower, self.inputs, self.blocks, self.front_end)


FAMILIES: list[Family] = [
    Family(
        model_types=("wav2vec2", "hubert", "wavlm"),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="encoder.layers",
        front_end=waveform_convs,
        convs="feature_extractor.conv_layers",
        # Without stable layer norm the same module comes before the blocks.
        final=lambda config: "encoder.layer_norm" if config.do_stable_layer_norm else None,
        padding_exact=lambda config, extractor: True,
        # A group norm takes its statistics over time, padding included.
        alone=lambda config: "feature_extractor" if config.feat_extract_norm == "group" else None,
        harmless_missing=("masked_spec_embed",),
        head="lm_head",
    ),
    Family(
        model_types=("whisper",),
        tower="encoder",
        inputs=("input_features",),  # its attention_mask is ignored
        blocks="layers",
        front_end=whisper_front_end,
        final=lambda config: "layer_norm",
        padding="max_length",
        window=whisper_window,
    ),
    Family(
        model_types=("speech_to_text",),
        tower="encoder",
        inputs=("input_features", "attention_mask"),
        blocks="layers",
        front_end=speech2text_front_end,
        final=lambda config: "layer_norm",
        min_samples=speech2text_min_samples,
        optional_packages=("torchaudio",),
    ),
    Family(
        model_types=("cnn_ctc", "lstm_ctc"),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="conv_layers",
        front_end=ctc_front_end,
        hidden=conv_and_lstm_layers,
        padding_exact=lambda config, extractor: extractor.return_attention_mask,
        head="lm_head",
        home="hf_repsim.ctc",
    ),
    Family(
        model_types=("speech2text_ctc",),
        tower="",
        inputs=("input_values", "attention_mask"),
        blocks="encoder.layers",
        front_end=speech2text_front_end,
        convs="encoder.conv.gates",
        final=lambda config: "encoder.layer_norm",
        padding_exact=lambda config, extractor: extractor.return_attention_mask,
        head="lm_head",
        home="hf_repsim.ctc",
    ),
]


def find_family(model_type: str | None) -> Family:
    """Return what is known of a model type; of one without an entry that is nothing."""
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    return Family(model_types=(str(model_type),))
