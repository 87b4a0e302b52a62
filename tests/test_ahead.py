"""A generator that is run ahead gives what it makes, and what it raises."""

from __future__ import annotations

import pytest

from hf_repsim.ahead import Ahead


def failing(n: int):
    yield from range(n)
    raise KeyError("broken")


@pytest.mark.parametrize("depth", [1, 5])
def test_items_come_in_order_and_an_error_once_after_them(depth):
    ahead = Ahead(failing(3), depth, name="ahead")
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="broken"):
        next(ahead)
    assert list(ahead) == []


def test_closing_ends_the_generator_in_its_thread_and_gives_out_nothing_more():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    ahead = Ahead(items(), 2, name="ahead")
    next(ahead)
    ahead.close()
    assert closed == [True] and list(ahead) == []
