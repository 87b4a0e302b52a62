"""Speech recognisers that are small enough to train here: CNN, LSTM, Transformer and wav2vec 2.0.

Importing this makes our model types known to transformers' Auto classes. Saved models carry the
code of their class with them, so others load them with ``trust_remote_code=True``.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCTC

from hf_repsim.ctc.configuration_ctc import CnnConfig, LstmConfig, Speech2TextCtcConfig
from hf_repsim.ctc.encoders import (
    ENCODERS,
    Encoder,
    find_encoder,
    make_feature_extractor,
    make_model,
)
from hf_repsim.ctc.modeling_ctc import CnnForCTC, CnnModel, LogMel, LstmForCTC, LstmModel
from hf_repsim.ctc.modeling_speech2text_ctc import Speech2TextCtcModel, Speech2TextForCTC

__all__ = [
    "ENCODERS",
    "CnnConfig",
    "CnnForCTC",
    "CnnModel",
    "Encoder",
    "LogMel",
    "LstmConfig",
    "LstmForCTC",
    "LstmModel",
    "Speech2TextCtcConfig",
    "Speech2TextCtcModel",
    "Speech2TextForCTC",
    "find_encoder",
    "make_feature_extractor",
    "make_model",
]

for _config, _model, _for_ctc in (
    (CnnConfig, CnnModel, CnnForCTC),
    (LstmConfig, LstmModel, LstmForCTC),
    (Speech2TextCtcConfig, Speech2TextCtcModel, Speech2TextForCTC),
):
    AutoConfig.register(_config.model_type, _config)
    AutoModel.register(_config, _model)
    AutoModelForCTC.register(_config, _for_ctc)
    _config.register_for_auto_class()
    _model.register_for_auto_class("AutoModel")
    _for_ctc.register_for_auto_class("AutoModelForCTC")
