"""The Transformer encoder of Speech2Text with a CTC head, over log-mel frames of the waveform.

This file is saved with each model, and needs only torch, numpy and transformers. Annotations are
not postponed in it: transformers reads the class of a configuration from them.
"""

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.speech_to_text.modeling_speech_to_text import (
    Conv1dSubsampler,
    Speech2TextEncoder,
    Speech2TextSinusoidalPositionalEmbedding,
)

from .configuration_ctc import Speech2TextCtcConfig
from .log_mel import LogMel, frame_mask
from .modeling_ctc import CtcPreTrainedModel, ForCTC


class MaskedSubsampler(Conv1dSubsampler):
    """The encoder's convolutions, with padded frames zero before each, as they are beyond the end.

    The last feature of the input is the mask of frames: the encoder hands on nothing else.
    """

    def __init__(self, config: Speech2TextCtcConfig):
        super().__init__(config)
        self.gates = nn.ModuleList(nn.GLU(dim=1) for _ in self.conv_layers)  # to be listened to

    def forward(self, input_features: Tensor) -> Tensor:
        """Return embeddings (batch, frames, d_model) of features and mask."""
        states, n_frames = input_features[..., :-1], input_features[..., -1].sum(1).long()
        for conv, gate in zip(self.conv_layers, self.gates, strict=True):
            states = gate(conv(states.transpose(1, 2))).transpose(1, 2)
            n_frames = (n_frames - 1).div(2, rounding_mode="floor") + 1
            states = states * frame_mask(n_frames, states)
        return states


class Speech2TextCtcPreTrainedModel(CtcPreTrainedModel):
    """The encoder is initialised as Speech2Text does it."""

    config: Speech2TextCtcConfig
    base_model_prefix = "model"

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Speech2TextSinusoidalPositionalEmbedding):
            table = module.get_embedding(
                module.num_positions + module.offset, module.embedding_dim, module.padding_idx
            )
            init.copy_(module.weights, table)


class Speech2TextCtcModel(Speech2TextCtcPreTrainedModel):
    """Log-mel frames and the encoder of Speech2Text, whose weights have their usual names."""

    def __init__(self, config: Speech2TextCtcConfig):
        super().__init__(config)
        self.log_mel = LogMel(config.num_mel_bins)
        self.encoder = Speech2TextEncoder(config)
        self.encoder.conv = MaskedSubsampler(config)
        # The encoder marks padded positions by 1 where it looks them up. With the padding token of
        # a vocabulary instead (0, the blank) all frames of audio would have the same position.
        self.encoder.embed_positions = Speech2TextSinusoidalPositionalEmbedding(
            config.max_source_positions, config.d_model, padding_idx=1
        )
        self.post_init()

    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, **kwargs: object
    ) -> BaseModelOutput:
        """Return the encoder's states of waveforms (batch, samples) at 16 kHz."""
        frames, audio = self.log_mel(input_values, attention_mask)
        frames = torch.cat([self._spec_augment(frames, audio), audio[..., None].float()], dim=-1)
        return self.encoder(frames.to(self.dtype), attention_mask=audio.long(), **kwargs)


class Speech2TextForCTC(ForCTC, Speech2TextCtcPreTrainedModel):
    """A Transformer speech recogniser."""

    def __init__(self, config: Speech2TextCtcConfig):
        super().__init__(config)
        self.model = Speech2TextCtcModel(config)
        self._add_head()
        self.post_init()
