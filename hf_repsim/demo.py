"""The demo: one small recogniser before and after training, on speech that comes along."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from hf_repsim.comparison import compare
from hf_repsim.plot import save_figure
from hf_repsim.probe import Probe
from hf_repsim.result import SimilarityResult

UNTRAINED, TRAINED = "demo-untrained", "demo-trained"
SHOWN = ("blocked_cka", "linear_cka")


def compare_models(*, progress: bool = False) -> SimilarityResult:
    """The untrained model against the trained one, on the package's own speech."""
    assets = Path(str(files("hf_repsim") / "assets"))
    return compare(assets / UNTRAINED, assets / TRAINED, probe=Probe.embedded(), progress=progress)


def save(result: SimilarityResult, folder: Path) -> Path:
    """Write the result folder with its heatmap; returns the path of the picture."""
    result.save(folder, exist_ok=True)
    picture = folder / "heatmap.png"
    save_figure(result.plot("heatmap", list(SHOWN)), picture)
    return picture


def reading(result: SimilarityResult) -> str:
    """What to see in the numbers, in words."""
    blocked = result.matrix("blocked_cka")
    same = blocked.diagonal()
    least, most = int(same.argmin()), int(same.argmax())
    best = blocked.argmax(0)
    null = np.nanmean(result.matrix("linear_cka", "null"))
    return "\n".join(
        (
            "How to read it. Rows are layers before training, columns the same layers after it.",
            f"- Down the diagonal a layer meets its trained self: {same[most]:.2f} at "
            f"{result.layers_x[most]}, where training changed least, {same[least]:.2f} at "
            f"{result.layers_x[least]}, where it changed most.",
            f"- Down the last column: of what {result.layers_y[-1]} says after training, the most "
            f"was there before in {result.layers_x[int(best[-1])]} ({blocked[:, -1].max():.2f}).",
            "- 0 is what unrelated layers get from blocked_cka. linear_cka starts from "
            f"{null:.2f} and more, because frames of one utterance resemble each other.",
            "- Change is not improvement: a value says how alike two layers are, not which of the "
            "two is better.",
        )
    )
