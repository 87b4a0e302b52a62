"""Speech recognisers of convolutions and LSTMs with a CTC head, over log-mel frames.

Padding never enters: features are normalised over the frames of audio, and padded frames are zero
before each layer, so that an utterance has the same states, and gradients, alone and in a batch.
This file is saved with each model, and needs only torch, numpy and transformers. Annotations are
not postponed in it: transformers reads the class of a configuration from them.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_ctc import CnnConfig, LstmConfig
from .log_mel import LogMel, frame_mask, n_mel_frames


class Layer(GradientCheckpointingLayer):
    """A layer whose output is one of the hidden states: (batch, frames, features)."""


class ConvLayer(Layer):
    """A convolution over time, normalised over channels, beside a path that skips it if it can."""

    def __init__(self, config: CnnConfig | LstmConfig, i: int):
        super().__init__()
        n_in = config.conv_dim[i - 1] if i else config.num_mel_bins
        n_out, kernel, stride = config.conv_dim[i], config.conv_kernel[i], config.conv_stride[i]
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride=stride, padding=kernel // 2)
        # Statistics over time, as of a batch norm, would depend on padding and on the batch.
        self.layer_norm = nn.LayerNorm(n_out, eps=config.layer_norm_eps)
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.skips = n_in == n_out and stride == 1

    def forward(self, states: Tensor, n_frames: Tensor) -> Tensor:
        """Return the states behind this layer, of which ``n_frames`` are of audio."""
        new = self.conv(states.transpose(1, 2)).transpose(1, 2)
        new = self.dropout(self.activation(self.layer_norm(new)))
        return (states + new if self.skips else new) * frame_mask(n_frames, new)


class LstmLayer(Layer):
    """One bidirectional LSTM layer, which ends, and begins backwards, at the end of the audio.

    Its output is normalised over units: an untrained LSTM passes on about a third of the spread of
    what it hears, so that behind four of them there would be nothing left to learn from.
    """

    def __init__(self, config: LstmConfig, i: int):
        super().__init__()
        n_in = 2 * config.lstm_dim if i else config.conv_dim[-1]
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.lstm = nn.LSTM(n_in, config.lstm_dim, batch_first=True, bidirectional=True)
        self.layer_norm = nn.LayerNorm(2 * config.lstm_dim, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, n_frames: Tensor) -> Tensor:
        """Return the states behind this layer, of which ``n_frames`` are of audio."""
        packed = pack_padded_sequence(
            self.dropout(states),
            n_frames.clamp(min=1).cpu(),  # audio without a frame still has a place in the batch
            batch_first=True,
            enforce_sorted=False,
        )
        new, _ = self.lstm(packed)
        new, _ = pad_packed_sequence(new, batch_first=True, total_length=states.shape[1])
        return self.layer_norm(new) * frame_mask(n_frames, new)


class CtcPreTrainedModel(PreTrainedModel):
    """What our recognisers share: they hear waveforms, and count frames in the same way."""

    main_input_name = "input_values"
    input_modalities = "audio"
    supports_gradient_checkpointing = True

    def save_pretrained(self, save_directory: str, *given: object, **options: object) -> None:
        """Save the model, so that elsewhere AutoModel too finds its class in the code beside it."""
        base = type(self.base_model)
        home = base.__module__.rpartition(".")[2]
        named = getattr(self.config, "auto_map", None) or {}
        self.config.auto_map = {**named, "AutoModel": f"{home}.{base.__name__}"}
        super().save_pretrained(save_directory, *given, **options)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LogMel):
            module.fill_buffers()
        elif isinstance(module, ConvLayer):
            init.kaiming_normal_(module.conv.weight)

    def _get_feat_extract_output_lengths(self, n_samples: Tensor) -> Tensor:
        """Count the frames of logits of waveforms."""
        n_frames = n_mel_frames(n_samples)
        for stride in self.config.conv_stride:
            n_frames = (n_frames - 1).div(stride, rounding_mode="floor") + 1
        return n_frames

    def _spec_augment(self, frames: Tensor, audio: Tensor) -> Tensor:
        """Put the mean, 0, in place of spans of frames and bins, while training."""
        config = self.config
        if not (self.training and config.apply_spec_augment):
            return frames
        n, n_frames, n_bins = frames.shape
        # Spans are drawn by numpy, whose generator the Trainer saves and restores.
        if config.mask_time_prob > 0 and n_frames >= config.mask_time_length:
            spans = _compute_mask_indices(
                (n, n_frames), config.mask_time_prob, config.mask_time_length, audio.long()
            )
            frames = frames * torch.from_numpy(~spans).to(frames.device)[:, :, None]
        if config.mask_feature_prob > 0:
            bands = _compute_mask_indices(
                (n, n_bins), config.mask_feature_prob, min(config.mask_feature_length, n_bins)
            )
            frames = frames * torch.from_numpy(~bands).to(frames.device)[:, None]
        return frames


class ConvolutionalModel(CtcPreTrainedModel):
    """Log-mel frames and the convolutions over them, with which both of our own models begin."""

    _can_record_outputs = {  # noqa: RUF012 (as transformers has it)
        "hidden_states": OutputRecorder(Layer, capture_initial_hidden_state=False)
    }

    def __init__(self, config: CnnConfig | LstmConfig):
        super().__init__(config)
        self.log_mel = LogMel(config.num_mel_bins)
        self.conv_layers = nn.ModuleList(ConvLayer(config, i) for i in range(len(config.conv_dim)))
        self.gradient_checkpointing = False

    def _layers(self) -> list[tuple[Layer, int]]:
        """The layers, in order, each with its stride."""
        return list(zip(self.conv_layers, self.config.conv_stride, strict=True))

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, **kwargs: object
    ) -> BaseModelOutput:
        """Return the states of the last layer; every layer's, if ``output_hidden_states``."""
        frames, audio = self.log_mel(input_values, attention_mask)
        states, n_frames = self._spec_augment(frames, audio).to(self.dtype), audio.sum(1)
        for layer, stride in self._layers():
            n_frames = (n_frames - 1).div(stride, rounding_mode="floor") + 1
            states = layer(states, n_frames)
        return BaseModelOutput(last_hidden_state=states)


class CnnModel(ConvolutionalModel):
    """Convolutions over log-mel frames."""

    config: CnnConfig
    base_model_prefix = "cnn"

    def __init__(self, config: CnnConfig):
        super().__init__(config)
        self.post_init()


class LstmModel(ConvolutionalModel):
    """Convolutions over log-mel frames, then bidirectional LSTM layers."""

    config: LstmConfig
    base_model_prefix = "lstm"

    def __init__(self, config: LstmConfig):
        super().__init__(config)
        self.lstm_layers = nn.ModuleList(
            LstmLayer(config, i) for i in range(config.num_lstm_layers)
        )
        self.post_init()

    def _layers(self) -> list[tuple[Layer, int]]:
        return super()._layers() + [(layer, 1) for layer in self.lstm_layers]


class ForCTC(CtcPreTrainedModel):
    """An encoder with a linear head, trained by connectionist temporal classification."""

    accepts_loss_kwargs = False  # the loss is a mean of its batch, whatever else is accumulated

    def _add_head(self) -> None:
        self.dropout = nn.Dropout(self.config.final_dropout)
        self.lm_head = nn.Linear(self.config.hidden_size, self.config.vocab_size)

    @can_return_tuple
    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: object,
    ) -> CausalLMOutput:
        """Return logits (batch, frames, vocabulary), and the loss if there are labels.

        Raises:
            ValueError: If a label is not of the vocabulary.
        """
        output = self.base_model(input_values, attention_mask=attention_mask, **kwargs)
        logits = self.lm_head(self.dropout(output.last_hidden_state))
        loss = None
        if labels is not None:
            mask = torch.ones_like(input_values) if attention_mask is None else attention_mask
            n_frames = self._get_feat_extract_output_lengths(mask.sum(1).long())
            loss = self._ctc_loss(logits, labels, n_frames)
        return CausalLMOutput(
            loss=loss,
            logits=logits,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    def _ctc_loss(self, logits: Tensor, labels: Tensor, n_frames: Tensor) -> Tensor:
        if labels.max() >= self.config.vocab_size:
            raise ValueError(
                f"label {labels.max()} is not in the vocabulary of {self.config.vocab_size}: the "
                "tokenizer is of another model"
            )
        said = labels >= 0
        with torch.backends.cudnn.flags(enabled=False):  # it wants other types, and no padding
            return nn.functional.ctc_loss(
                logits.log_softmax(-1, dtype=torch.float32).transpose(0, 1),
                labels.masked_select(said),
                n_frames,
                said.sum(1),
                blank=self.config.pad_token_id,
                reduction=self.config.ctc_loss_reduction,
                zero_infinity=self.config.ctc_zero_infinity,
            )


class CnnForCTC(ForCTC):
    """A convolutional speech recogniser."""

    config: CnnConfig
    base_model_prefix = "cnn"

    def __init__(self, config: CnnConfig):
        super().__init__(config)
        self.cnn = CnnModel(config)
        self._add_head()
        self.post_init()


class LstmForCTC(ForCTC):
    """A recurrent speech recogniser."""

    config: LstmConfig
    base_model_prefix = "lstm"

    def __init__(self, config: LstmConfig):
        super().__init__(config)
        self.lstm = LstmModel(config)
        self._add_head()
        self.post_init()
