"""What is told of each architecture of the zoo, in docs/models.md and by the tests that hold it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from zoo import NOT_BUILT, ZOO
from zoo_whole import WHOLE

from hf_repsim.models.anatomy import Anatomy

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "models.md"

# Entries that hear and are refused, with what is said of them.
REFUSED = {
    "clap": "its layers are images of a spectrogram",
    "clap--fused": "its layers are images of a spectrogram",
    "clap_audio_model": "its layers are images of a spectrogram",
    "encodec--48khz": "it hears stereo",
    "gemma4_unified": "it has no encoder",
    "inkling_mm_model": "it hears bins that only its processor makes",
}
HEAD = ("entry", "class", "hears in", "input", "layers", "ms per frame", "frame times", "window",
        "whole fed by")  # fmt: skip


def lacking(name: str) -> list[str]:
    """Packages that an entry needs and that are not installed."""
    return [package for package in ZOO[name].needs if importlib.util.find_spec(package) is None]


def row(name: str, anatomy: Anatomy, rate: int) -> str:
    """An entry's line of the table of what is heard."""
    layers = [layer for layer in anatomy.layers.values() if layer.default]
    hops = sorted({float(f"{1000 * layer.clock.hop_seconds:.4g}") for layer in layers})
    seconds = anatomy.window and f"{anatomy.window / rate:g} s"
    times = "measured" if anatomy.is_measured else "derived"
    cells = (
        *(name, f"`{ZOO[name].architecture}`", f"`{anatomy.ear.tower or '.'}`"),
        *(", ".join(f"`{one}`" for one in anatomy.ear.arguments), str(len(layers))),
        *(", ".join(f"{hop:g}" for hop in hops), times, seconds or "", _fed_by(name)),
    )
    return f"| {' | '.join(cells)} |"


def document(rows: Mapping[str, str]) -> str:
    """The whole of docs/models.md; lines of entries that were not heard now are kept."""
    heard = sorted(name for name in ZOO if name not in REFUSED)
    kept = {line.split(" | ")[0][2:]: line for line in _lines() if line.startswith("| ")}
    table = [rows.get(name) or kept.get(name) or _untried(name) for name in heard]
    refused = [f"- {name}: {why}" for name, why in sorted(REFUSED.items())]
    deaf = [f"- {model_type}: {why}" for model_type, why in sorted(NOT_BUILT.items())]
    lines = [*_PREFACE, "", f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD), *table]
    lines += ["", "## Refused", "", *refused, "", "## Not for audio, or not to be had", "", *deaf]
    return "\n".join([*lines, ""])


def _fed_by(name: str) -> str:
    if name not in WHOLE:
        return ""
    return f"`{WHOLE[name].processor}`" if WHOLE[name].processor else "features"


def _untried(name: str) -> str:
    entry = ZOO[name]
    cells = [name, f"`{entry.architecture}`", f"not tried: needs {', '.join(entry.needs)}"]
    return f"| {' | '.join(cells + [''] * (len(HEAD) - len(cells)))} |"


def _lines() -> list[str]:
    return DOCUMENT.read_text("utf-8").splitlines() if DOCUMENT.exists() else []


_PREFACE = """# Models

Every audio architecture of transformers 5.23, built tiny with random weights and loaded from its
folder by name. For each of them `tests/test_any_model.py` tries that layers are known before
weights are read; that frames are as many as the clock says, at awkward lengths; that a batch says
of each utterance what it says of it alone; that states are those that the library returns as
`hidden_states`, where it returns them; that a tower read alone has the weights that it has in the
whole model; and that it says what it says while the whole model hears the same audio.

"derived" frame times are computed from the configuration, "measured" ones found with noise and
clicks on a copy of random weights, as `hf_repsim/models/geometry.py` tells. A window is filled up
whatever the length of the audio. The last column says what fed the whole model, where the tower is
a part of one: its processor, with audio in a text; or its features, beside tokens where it takes
any (`tests/zoo_whole.py`). Silence that an extractor puts before audio is left out of both, and
images are not looked at. Lines of models that need torchaudio or timm were written where these
are, and are tried where they are. Written by `python scripts/write_models.py`.
""".splitlines()
