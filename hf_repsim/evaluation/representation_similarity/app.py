"""The page of the Space: two files of frames in, a table of similarities out."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import gradio
import numpy

# the package that the Space carries; in an installation there is none beside this file
sys.path[:0] = [str(wheel) for wheel in Path(__file__).parent.glob("hf_repsim-*.whl")]

from hf_repsim.evaluation import RepresentationSimilarity  # noqa: E402
from hf_repsim.measures import MEASURES  # noqa: E402

HEADERS = ["measure", "value", "if unrelated", "note"]
LARGEST = "100mb"  # of a file
ABOUT = (
    "How alike are two sets of frames, for instance of a layer each of two speech models that "
    "heard the same audio? Files are NumPy arrays, frames by features, as `numpy.save` writes them."
)


def compare(x: str | None, y: str | None, counts: str = "") -> list[list[str]]:
    """A row per measure of the frames in two .npy files.

    Args:
        x: path of an array (n, p).
        y: path of an array (n, q).
        counts: frames of each utterance, in their order, with spaces or commas between; "" where
            that is unknown.

    Raises:
        gradio.Error: what cannot be read or compared, and why.
    """
    try:
        frames_x, frames_y = _read("x", x), _read("y", y)
        utterance = _utterances(counts, len(frames_x))
        result = RepresentationSimilarity().compute(x=frames_x, y=frames_y, utterance=utterance)
    except ValueError as error:
        raise gradio.Error(str(error), print_exception=False) from error
    notes, null = result["notes"], result["null"]
    return [
        [measure.label, _number(result[name]), _number(null[name]), notes.get(name, "")]
        for name, measure in MEASURES.items()
        if name in result
    ]


def page() -> gradio.Interface:
    """The page, not yet served."""
    files = [gradio.File(label=f"{side}: a .npy file", file_types=[".npy"]) for side in "xy"]
    counts = gradio.Textbox(
        label="frames of each utterance",
        info="In their order, for instance: 120 98 133. Leave empty where unknown.",
    )
    return gradio.Interface(
        fn=compare,
        inputs=[*files, counts],
        outputs=gradio.Dataframe(headers=HEADERS, wrap=True, label="similarity"),
        title="Representation similarity",
        description=ABOUT,
        flagging_mode="never",
    )


def _read(side: str, path: str | None) -> numpy.ndarray:
    if not path:
        raise ValueError(f"{side} is missing: choose a .npy file of frames by features")
    try:
        # mapped, so that a header which promises more than the file holds costs nothing
        frames = numpy.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{side} is no array that numpy.save wrote: {error}") from error
    if not isinstance(frames, numpy.ndarray) or frames.ndim != 2:
        raise ValueError(f"{side} needs to be one array of two dimensions, frames by features")
    return frames


def _utterances(counts: str, n_frames: int) -> list[int] | None:
    words = counts.replace(",", " ").split()
    if not words:
        return None
    wrong = [word for word in words if not (word.isascii() and word.isdigit() and len(word) < 10)]
    if wrong:
        raise ValueError(f"frames of an utterance are a whole number, not {wrong[0][:20]!r}")
    numbers = [int(word) for word in words]
    if sum(numbers) != n_frames:
        raise ValueError(f"the utterances have {sum(numbers)} frames together, x has {n_frames}")
    return [i for i, n in enumerate(numbers) for _ in range(n)]


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


if __name__ == "__main__":
    page().launch(max_file_size=LARGEST)
