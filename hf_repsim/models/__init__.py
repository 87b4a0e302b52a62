"""Speech models: found by name, understood before they are loaded, loaded, called.

Reading order: ``checkpoint`` (the files of a model, checked), ``families`` (what would be found
wrong, as data), ``ear`` and ``anatomy`` (where a model hears, and its layers, found by structure),
``geometry`` and ``clicks`` (when frames fall, measured), ``speech_model`` (a loaded model) and
``forward`` (how it is called). ``decoder``, ``teacher``, ``forcing`` and ``prompts`` make a decoder
say transcripts. What layers say about audio is ``hf_repsim.states``.
"""
