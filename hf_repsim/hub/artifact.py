"""What is published of a result: its key, and a folder with its table, sums, pictures and page."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hf_repsim.cells import (
    has_figures,
    has_map,
    has_one_value_a_cell,
    heading,
    is_trajectory,
)
from hf_repsim.machine_paths import without_machine_paths, without_paths
from hf_repsim.result import SimilarityResult
from hf_repsim.sample_file import SAMPLE, read_sample, save_sample
from hf_repsim.storage import CARD, load_result, save_moments, save_result
from hf_repsim.tiles import MOMENTS, copy_moments, find_tiles, read_meta

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hf_repsim.moments import Moments
    from hf_repsim.sample import FrameSample

KEY = re.compile(r"\d{8}_[0-9a-f]{8}")
RESULTS = "results"  # the folder of a repository that has a folder per key
PAGE = "report.html"
SUMS_LIMIT = 256 * 2**20  # bytes of sums, and of frames beside them, that are published unasked

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_DPI = 160
T = TypeVar("T")


@dataclass(frozen=True)
class Artifact:
    """What is published of a result. Its files are written only when they are asked for."""

    key: str
    result: SimilarityResult  # without sums and without paths of this machine
    # name of the file -> where it is now, or what it will hold; the frames beside them as well
    sums: dict[str, Path | Moments | FrameSample]
    notes: tuple[str, ...]  # what the one who publishes should know

    @classmethod
    def of(cls, result: SimilarityResult | str | Path, *, sums: bool | None = None) -> Artifact:
        """What is published of a result, once it is sure that it can be.

        Args:
            result: in hand, or the folder it was saved to, where its sums may lie in tiles.
            sums: publish the sums; None: if they are not larger than `SUMS_LIMIT`.

        Raises:
            ValueError: sums are asked for, and there are none.
            ImportError: matplotlib, which draws the pictures, is missing.
            FileNotFoundError, ValueError: as `load_result`, `read_meta` and `result_key`.
        """
        source = None if isinstance(result, SimilarityResult) else Path(result).expanduser()
        if source is not None:
            result = load_result(source, moments=False)
        clean, replaced = without_machine_paths(result)
        notes = [f"published as {short!r}: {path}" for path, short in replaced.items()]
        if source is None:
            found, note = _sums_in_hand(result, sums)
        else:
            found, note = _sums_in_folder(source, sums)
        told = {name: value for name, value in clean.provenance.items() if name != "sums"}
        tiles = [name for name in found if name not in (MOMENTS, SAMPLE)]
        clean = SimilarityResult(clean.columns, told | ({"sums": tiles} if tiles else {}))
        _check_drawing(clean)
        return cls(result_key(clean), clean, found, (*notes, *note))

    def write(self, folder: Path) -> tuple[dict[str, Path], list[str]]:
        """Write table, provenance, pictures and page into a folder that is not there yet.

        Returns the files by name, and what should be known of them.
        """
        saved = save_result(self.result, folder)
        (saved / CARD).unlink()  # the repository has one card for all of its results
        for name, figure in _figures(self.result):
            _save(figure, saved / f"{name}.png")
        notes = _write_page(self.result, saved / PAGE)
        return {path.name: path for path in sorted(saved.iterdir())}, notes

    def write_sums(self, folder: Path) -> dict[str, Path]:
        """The files of the sums by name: where they are already, or written into a folder."""
        files = {}
        for name, sums in self.sums.items():
            if name == SAMPLE:
                files[name] = _clean_sample(sums, folder)
            elif isinstance(sums, Path):
                files[name] = copy_moments(sums, folder / name, _clean_account)
            else:
                files[name] = _save_clean(sums, folder)
        return files


def result_key(result: SimilarityResult) -> str:
    """`DATE_HASH`: the day it was created, and 8 digits of SHA-256 over table and provenance.

    The same result has the same key wherever it is, and keys sort by date. Where the provenance
    has no date, it is 00000000. Raises ValueError for provenance that could not be saved.
    """
    # which sums lie beside it is no part of a result
    told = {name: value for name, value in result.provenance.items() if name != "sums"}
    try:
        # what would be read back: names of entries are text
        told = json.loads(json.dumps(told, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"a result of such provenance has no key: {error}") from error
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(result.columns):
        digest.update(json.dumps([name, result.columns[name]]).encode())
    text = digest.hexdigest()
    # to some readers of YAML 20261122_12345678 and 20261122_1e234567 are numbers; a key is a name
    windows = (text[i : i + 8] for i in range(len(text) - 7))
    return f"{_day(result)}_{next(w for w in windows if re.search('[abcdf]', w))}"


def _day(result: SimilarityResult) -> str:
    created = re.match(r"(\d{4})-(\d{2})-(\d{2})", str(result.provenance.get("created")))
    return "".join(created.groups()) if created else "00000000"


def _sums_in_hand(
    result: SimilarityResult, sums: bool | None
) -> tuple[dict[str, Moments | FrameSample], list[str]]:
    moments, sample = result.moments, result.sample
    if sums is False or moments is None:
        _refuse_missing(sums, "the result has no sums")
        return {}, []
    n_bytes = sum(tensor.nbytes for tensor in moments.state_dict().values())
    kept = {} if sample is None else {SAMPLE: sample}
    return _fitting(
        {MOMENTS: moments}, kept, sums or (n_bytes, sum(s.nbytes for s in kept.values()))
    )


def _sums_in_folder(source: Path, sums: bool | None) -> tuple[dict[str, Path], list[str]]:
    files = find_tiles(source) or [source / MOMENTS]
    if sums is False or not all(file.is_file() for file in files):
        _refuse_missing(sums, f"{source} has no sums")
        return {}, []
    kept = [source / SAMPLE] if (source / SAMPLE).is_file() else []
    sizes = tuple(sum(file.stat().st_size for file in part) for part in (files, kept))
    named = ({file.name: file for file in part} for part in (files, kept))
    found, notes = _fitting(*named, sums or sizes)
    for name, file in found.items():  # says if it is damaged, before anything is made on the Hub
        read_sample(file) if name == SAMPLE else read_meta(file)
    return found, notes


def _save_clean(moments: Moments, folder: Path) -> Path:
    told = moments.provenance
    moments.provenance = without_paths(told, {})
    try:
        return save_moments(moments, folder)
    finally:
        moments.provenance = told


def _clean_sample(sample: Path | FrameSample, folder: Path) -> Path:
    """The file of a sample in which nothing is called by a path of this machine."""
    kept = read_sample(sample) if isinstance(sample, Path) else sample
    names: dict[str, str] = {}
    speakers = {who: without_paths(who, {}) for who in kept.speakers.values() if who is not None}
    for utterance in kept.utterances:
        short, again = without_paths(utterance, {}), 2
        name = short
        while name in names.values():
            name, again = f"{short}#{again}", again + 1
        names[utterance] = name
    same = all(name == short for name, short in [*names.items(), *speakers.items()])
    if isinstance(sample, Path) and same:
        return sample
    return save_sample(kept.renamed(names, speakers=speakers), folder)


def _clean_account(meta: dict[str, Any]) -> dict[str, Any]:
    return meta | {"provenance": without_paths(meta.get("provenance") or {}, {})}


def _refuse_missing(sums: bool | None, what: str) -> None:
    if sums:
        raise ValueError(
            f"{what} to publish; they are kept by a run without --no-sums, or publish the table "
            "alone (sums=False, --no-sums)"
        )


def _fitting(
    sums: dict[str, T], kept: dict[str, T], sizes: tuple[int, int] | bool
) -> tuple[dict[str, T], list[str]]:
    """What is published of sums and of frames kept beside them, and a note on what is not."""
    if sizes is True or sum(sizes) <= SUMS_LIMIT:
        return sums | kept, []
    if sizes[0] <= SUMS_LIMIT:
        return sums, [_left_out("frames kept beside the sums", sizes[1])]
    return {}, [_left_out("sums", sum(sizes))]


def _left_out(what: str, n_bytes: int) -> str:
    return (
        f"the {what}, {n_bytes / 2**20:,.0f} MiB, are left out; --sums (sums=True) publishes them "
        f"also where they are larger than {SUMS_LIMIT // 2**20} MiB"
    )


def _figures(result: SimilarityResult) -> Iterator[tuple[str, Figure]]:
    """The figures of its kind, by the first measure, and of a comparison a heatmap per measure."""
    if has_figures(result):
        from hf_repsim.trajectory_plot import own_figures

        for kind, draw in own_figures(result).items():
            with suppress(ValueError):  # a figure says so of a result that it does not fit
                yield kind, draw(result, None)
    if has_map(result):
        from hf_repsim.plot import heatmap

        for i, measure in enumerate(result.measures):
            if not np.isfinite(result.matrix(measure)).any():  # as of sums about two origins
                continue
            name = measure if _SAFE_NAME.fullmatch(measure) else f"measure-{i + 1}"
            yield name, heatmap(result, measure)


def _check_drawing(result: SimilarityResult) -> None:
    is_drawn = is_trajectory(result) or has_one_value_a_cell(result)
    if is_drawn and find_spec("matplotlib") is None:
        raise ImportError(
            "the pictures of a published result need matplotlib: pip install 'hf_repsim[plot]'"
        )


def _save(figure: Figure, path: Path) -> None:
    from hf_repsim.plot import save_figure

    save_figure(figure, path, dpi=_DPI)


def _write_page(result: SimilarityResult, path: Path) -> list[str]:
    """Write the page; where it cannot show the result, say why instead."""
    from hf_repsim.report.page import write_page

    title = " and ".join(result.model_names())
    try:
        write_page({title: result}, path, title=heading(result))
    except ValueError as error:
        return [f"there is no page, {path.name}: {error}"]
    return []
