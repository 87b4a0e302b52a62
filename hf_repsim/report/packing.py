"""Numbers in few bytes: whole numbers in base64, as `templates/explorer_data.js` reads them.

A page of 33 x 33 layers at 40 checkpoints holds hundreds of thousands of values; as whole numbers
of 2 bytes they take a third of their text, and a browser reads them without parsing any.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

PER = 10_000  # four decimals, more than any similarity is known to
_KINDS = {16: (np.dtype("<i2"), -(2**15)), 32: (np.dtype("<i4"), -(2**31))}


def pack(table: np.ndarray, *, per: float = PER) -> float | dict[str, Any] | None:
    """A table (checkpoints, pairs) of numbers as JSON, rounded to ``1 / per``.

    None where no number is finite; the number itself where all are the same; else a dict of "data",
    whole numbers of "bits" 16 or 32, times "per" 1, row after row; the smallest whole number stands
    for nan. "rows" is 1 where all checkpoints have the same. Numbers too large for 32 bits are
    rounded to fewer digits.
    """
    known = np.isfinite(table)
    if not known.any():
        return None
    largest = float(np.abs(table[known]).max())
    if largest * per > _room(32):
        per = 10.0 ** math.floor(math.log10(_room(32) / largest))
    rounded = np.round(np.where(known, table, 0.0) * per)
    bits = 16 if np.abs(rounded).max() <= _room(16) else 32
    kind, none = _KINDS[bits]
    whole = np.where(known, rounded, none).astype(kind)
    if (whole == whole.flat[0]).all():
        return _plain(int(whole.flat[0]) / per)
    if (whole == whole[0]).all():
        whole = whole[:1]
    data = base64.b64encode(np.ascontiguousarray(whole).tobytes()).decode("ascii")
    return {"per": _plain(per), "bits": bits, "rows": len(whole), "data": data}


def _room(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def _plain(number: float) -> float:
    return int(number) if float(number).is_integer() else float(number)
