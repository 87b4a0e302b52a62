"""An iterator that is run ahead of its consumer, by a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator
from queue import SimpleQueue
from typing import Any


class Ahead:
    """Items of a generator, made in a thread, at most `depth` of them before they are asked for.

    What the generator raises is raised where the next item is asked for, once. The generator is
    closed in its thread, at its end or by `close`.
    """

    def __init__(self, items: Generator[Any, None, None], depth: int, *, name: str):
        self._items, self._closed = items, False
        self._made: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._room = threading.Semaphore(depth)
        # a thread that is no daemon would keep the interpreter from ending before it was closed
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Any:
        if self._closed:
            raise StopIteration
        item, error = self._made.get()
        if error is not None:
            self._closed = True
            raise error
        self._room.release()
        return item

    def close(self) -> None:
        """Let the item that is being made be the last, and wait for it; none is given out."""
        self._closed = True
        self._room.release()
        self._thread.join()

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            while self._room.acquire() and not self._closed:
                self._made.put((next(self._items), None))
        except BaseException as error:  # raised again by the consumer
            end = error
        finally:
            try:
                self._items.close()
            finally:
                self._made.put((None, end))
