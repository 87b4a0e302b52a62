"""Rows of a probe: one rank's share of them, with their ids, from any place on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING

from hf_repsim.audio import declared_seconds
from hf_repsim.columns import Columns, Names, read_cell

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from hf_repsim.columns import Row
    from hf_repsim.probe import Probe

_TOLERANCE = 1e-6  # seconds; sums of thirtieths of a second must be able to reach their limit


@dataclass(frozen=True)
class Place:
    """Between two rows of a reading."""

    index: int = 0  # rows read before it
    seconds: float = 0.0  # of these, as their headers declare; counted under `max_seconds` only
    state: dict[str, object] | None = None  # of the dataset, JSON-able; None: rows must be counted


class Reading:
    """The rows of one rank's share, each with its id, in order and within the probe's limits.

    Every rank reads all rows and takes each `world_size`-th, so ids and limits are the same however
    many ranks there are. Only with an `id_column` that was named and no limit does a rank read just
    its own shards (`split_dataset_by_node`).

    `start` is the `place` of an equal reading, to go on from; `given` are the ids of all rows
    before it. A dataset that was opened by name goes on by its own state. One in hand goes on by
    the number of rows: a `Dataset` at once, while of an `IterableDataset`, whose state loses rows
    where it shuffles, the rows before are read again.
    """

    def __init__(
        self,
        probe: Probe,
        share: tuple[int, int] = (0, 1),
        *,
        start: Place | None = None,
        given: Sequence[str] = (),
    ):
        self._probe = probe
        self._rank, self._world_size = share
        limited = probe.max_utterances is not None or probe.max_seconds is not None
        self._splits = probe.id_column is not None and not limited
        self._start = start or Place()
        self._index, self._seconds = self._start.index, self._start.seconds
        self._rows = self._open()
        strict = probe.id_column is not None
        self.names = Names(probe.columns, probe.source.root, strict=strict, given=given)

    @property
    def place(self) -> Place:
        """Where it stands: after the row that was given out last."""
        ours = self._probe.source.kind != "in hand"
        return Place(self._index, self._seconds, self._rows.state_dict() if ours else None)

    def __iter__(self) -> Iterator[tuple[str, Row]]:
        probe = self._probe
        most = probe.max_utterances
        left = None if most is None else max(0, most - self._index)
        for row in islice(self._from_start(), left):
            if probe.max_seconds is not None:
                self._seconds += declared_seconds(read_cell(row[probe.columns.audio]))
                if self._seconds > probe.max_seconds + _TOLERANCE:
                    return
            name = self.names.of(row)
            self._index += 1
            if self._splits or (self._index - 1) % self._world_size == self._rank:
                yield name, row

    def _open(self) -> Dataset | IterableDataset:
        from datasets.distributed import split_dataset_by_node

        rows = self._probe.source.rows
        if self._probe.source.kind != "in hand":
            # one that shares nothing: datasets made of one another keep their state in one place
            rows = rows.shard(num_shards=1, index=0)
        rows = rows.select_columns(sorted(self._columns)).with_format("arrow")
        if self._splits and self._world_size > 1:
            rows = split_dataset_by_node(rows, self._rank, self._world_size)
        return rows

    def _from_start(self) -> Iterator[Row]:
        start = self._start
        if start.state is not None:
            self._rows.load_state_dict(start.state)
        elif start.index and hasattr(self._rows, "__len__"):
            self._rows = self._rows.skip(start.index)
        elif start.index:
            return islice(self._tables(), start.index, None)
        return self._tables()

    def _tables(self) -> Iterator[Row]:
        columns = self._columns
        try:
            for table in self._rows:  # of one row each
                yield {name: table.column(name)[0] for name in columns}
        except ImportError as error:
            raise ValueError(
                f"{self._probe.source.label} in hand decodes its audio as it streams, by "
                f"torchcodec; give the dataset's name or folder instead"
            ) from error

    @property
    def _columns(self) -> set[str]:
        known = {getattr(self._probe.columns, f.name) for f in fields(Columns)} - {None}
        return known | set(self._probe.label_columns)


def check_share(rank: int, world_size: int) -> None:
    """Raise ValueError unless `rank` is one of `world_size` ranks."""
    if not 0 <= rank < world_size:
        raise ValueError(
            f"0 <= rank < world_size is needed, not rank={rank}, world_size={world_size}"
        )
