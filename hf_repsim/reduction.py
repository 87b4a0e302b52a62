"""The one reduction: sums of each process become the sums of all, the same on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING

import torch
from accelerate.utils import gather_object
from torch import Tensor, distributed

from hf_repsim.moments import Moments
from hf_repsim.products import CrossProducts
from hf_repsim.quota import Quota
from hf_repsim.sample import FrameSample
from hf_repsim.totals import Totals

if TYPE_CHECKING:
    from accelerate import Accelerator


def add_over_ranks(
    moments: Moments, accelerator: Accelerator, *, quota: Quota | None = None
) -> None:
    """Add up the moments of all processes, in place; all must be about one origin.

    Sums go over the wire once, as they are; only tables that are small beside the cross products
    are copied. Rows that are kept as rows go as rows, if those of all processes are few enough to
    be kept by one. Of the samples kept beside, what a quota leaves of those of all processes stays.
    """
    if accelerator.num_processes > 1:
        _add_totals(moments, accelerator)
        for products in (moments.frames, moments.sums):
            _add_products(products, moments.origin, accelerator)
    if moments.sample is not None:
        moments.sample = _gathered(moments.sample, accelerator, quota)


def everywhere(
    collective: Callable[[Tensor], object], tensor: Tensor, accelerator: Accelerator
) -> None:
    """A collective in place. Sums that stay in the host's memory go by way of the device."""
    there = tensor.to(accelerator.device)
    collective(there)
    if there is not tensor:
        tensor.copy_(there)


def _gathered(sample: FrameSample, accelerator: Accelerator, quota: Quota) -> FrameSample:
    """Rows of utterances of all processes, in the order of their ids."""
    if accelerator.num_processes == 1:
        return quota.cut(sample).in_order()
    parts = gather_object([(sample.frames, sample.counts, sample.speakers)])
    kept = set(quota.chosen(name for names, *_ in parts for name in names))
    most = quota.of_each([n for frames, *_ in parts for name, n in frames.items() if name in kept])
    joined = FrameSample(sample.widths)
    widths = list(sample.widths.values())
    for rank, (frames, counts, speakers) in enumerate(parts):
        counts = {u: min(n, most) for u, n in zip(frames, counts, strict=True) if u in kept}
        rest = {"frames": [frames[u] for u in counts], "speakers": [speakers[u] for u in counts]}
        if rank == accelerator.process_index:
            rows = sample.of(kept).thinned(most).rows
        else:
            rows = torch.empty(sum(counts.values()), sum(widths))
        if rows.numel():
            everywhere(partial(distributed.broadcast, src=rank), rows, accelerator)
            by_layer = dict(zip(sample.widths, rows.split(widths, 1), strict=True))
            joined.add(by_layer, list(counts), list(counts.values()), **rest)
    return joined.in_order()


def _add_totals(moments: Moments, accelerator: Accelerator) -> None:
    parts = [getattr(moments.totals, f.name) for f in fields(Totals)]
    flat = torch.cat([part.flatten() for part in parts])
    everywhere(distributed.all_reduce, flat, accelerator)
    summed = flat.split([part.numel() for part in parts])
    shaped = (new.reshape(part.shape).clone() for new, part in zip(summed, parts, strict=True))
    moments.totals = Totals(*shaped)


def _add_products(products: CrossProducts, origin: Tensor, accelerator: Accelerator) -> None:
    pending = gather_object([(products.n_pending, bool(products.sums))])
    n_rows = sum(n for n, _ in pending)
    if n_rows > products.capacity or any(folded for _, folded in pending):
        products.fold()
        for total in products.sums:
            everywhere(distributed.all_reduce, total, accelerator)
        return
    rows = origin.new_empty(n_rows, len(origin))
    parts = rows.split([n for n, _ in pending])
    if products.rows is not None:
        parts[accelerator.process_index].copy_(products.rows)
    for rank, part in enumerate(parts):
        if len(part):
            everywhere(partial(distributed.broadcast, src=rank), part, accelerator)
    products.load_state_dict({"rows": rows} if n_rows else {})
