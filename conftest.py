"""Order of the tests: fast ones first, so that a mistake shows before the slow ones start."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move tests marked ``slow`` behind the others; each group keeps its order."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
