"""The class that a model was saved from: of the library, or its author's own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from transformers.dynamic_module_utils import get_class_from_dynamic_module

from hf_repsim.models.configs import first_line, needs_code
from hf_repsim.models.families import Family
from hf_repsim.models.files import ModelFiles


def find_class(files: ModelFiles, family: Family, config: Any, *, trust: bool) -> Any:
    """Return the class that a checkpoint was saved from, else that of its base.

    AutoModel would drop or re-initialise parts of some models with no more than a warning.

    Raises:
        ValueError: If it has code of its own, which is not to be trusted, is missing or fails.
    """
    import transformers

    named = (config.architectures or ["AutoModel"])[0]
    found = getattr(importlib.import_module(family.home), named, None)
    if isinstance(config, getattr(found, "config_class", None) or ()):
        return found
    code = getattr(config, "auto_map", None)
    if not code:
        return transformers.AutoModel
    if not trust:
        raise needs_code(files, named)
    return _class_of_author(files, named, code)


def _class_of_author(files: ModelFiles, named: str, code: Mapping[str, str]) -> Any:
    saved = [ref for ref in code.values() if str(ref).rpartition(".")[2] == named]
    reference = next(iter(saved), None) or code.get("AutoModel")
    if reference is None:
        raise ValueError(
            f"{files.name} brings no code for {named}: the auto_map of its config.json "
            f"has {', '.join(map(str, code.values()))}"
        )
    try:
        return get_class_from_dynamic_module(reference, files.folder)
    except Exception as error:  # whatever the code of strangers raises, or lacks
        raise ValueError(
            f"the code of {files.name} does not run here: {first_line(error)}"
        ) from error
