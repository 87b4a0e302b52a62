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
SHOWN = ("blocked_cka", "svcca")


def compare_models(*, progress: bool = False) -> SimilarityResult:
    """All layers of the untrained model against all of the trained one, on the package's speech."""
    assets = Path(str(files("hf_repsim") / "assets"))
    return compare(
        assets / UNTRAINED,
        assets / TRAINED,
        probe=Probe.embedded(),
        layers=["*"],
        progress=progress,
    )


def save(result: SimilarityResult, folder: Path) -> Path:
    """Write the result folder with its heatmap; returns the path of the picture."""
    result.save(folder, exist_ok=True)
    picture = folder / "heatmap.png"
    save_figure(result.plot("heatmap", list(SHOWN)), picture)
    return picture


def reading(result: SimilarityResult) -> str:
    """What to see in the numbers, in words."""
    layers = result.layers_x
    blocked, svcca = (result.matrix(name) for name in SHOWN)
    same, by_direction = blocked.diagonal(), svcca.diagonal()
    least, most = int(same.argmin()), int(same.argmax())
    apart = int(np.abs(same - by_direction).argmax())
    before = int(blocked[:, -1].argmax())
    return f"""\
How to read it. Rows are layers before training, columns the same layers after it.
- Down the diagonal each layer meets its trained self: {same[most]:.2f} at {layers[most]}, which \
training
  changed least, and {same[least]:.2f} at {layers[least]}, which it changed most.
- Down the last column: of what {layers[-1]} says after training, most was there before in
  {layers[before]} ({blocked[before, -1]:.2f}); the rest was learnt.
- The picture has two measures. They differ most at {layers[apart]}: {same[apart]:.2f} by CKA, \
{by_direction[apart]:.2f} by SVCCA.
  CKA weighs each direction by its variance; SVCCA counts the leading ones alike.
- A value says how alike two layers are, not which is better; what unrelated layers would
  get stands below the table."""
