"""Which layers meet: pairs by a rule, and the labels of models in the names of layers."""

from __future__ import annotations

from collections.abc import Sequence

INPUT = "input"  # what a result calls the log-mel input, as if it were a layer
Pairs = str | Sequence[tuple[str, str]]  # a rule of PAIR_RULES, or (x layer, y layer) pairs


def label_of(layer: str) -> str:
    """The label of the model in LABEL/LAYER; "" where it has none."""
    return layer.rpartition("/")[0]


def resolve_pairs(pairs: Pairs, layers_x: list[str], layers_y: list[str]) -> list[tuple[str, str]]:
    """Pairs of layer names in table order; no rule takes the input, which is no layer of a model.

    Raises:
        ValueError: an unknown rule or layer, or no pair at all.
    """
    if not isinstance(pairs, str):
        chosen = [tuple(pair) for pair in pairs]
        unknown = [p for p in chosen if p[0] not in layers_x or p[1] not in layers_y]
        if unknown:
            raise ValueError(f"no such pair {unknown[0]}; layers: {layers_x} and {layers_y}")
    elif pairs in PAIR_RULES:
        sides = ([name for name in side if name != INPUT] for side in (layers_x, layers_y))
        chosen = PAIR_RULES[pairs](*sides)
    else:
        raise ValueError(f"unknown pairs {pairs!r}; known: {', '.join(PAIR_RULES)}, or a list")
    if not chosen:
        raise ValueError(f"pairs {pairs!r} leave nothing of {layers_x} and {layers_y}")
    return chosen


def in_tiles(table: list[tuple[str, str]], n: int, *, within: bool) -> list[list[tuple[str, str]]]:
    """Pairs in n tiles of about as many each, of runs of x's layers.

    Within one model (a, b) and (b, a) are one product, so they are of one tile.
    """
    order = list(dict.fromkeys(name for pair in table for name in pair)) if within else []
    owned: dict[str, list[tuple[str, str]]] = {}
    for pair in table:
        owned.setdefault(min(pair, key=order.index) if within else pair[0], []).append(pair)
    if n >= len(owned):
        return list(owned.values())
    tiles: list[list[tuple[str, str]]] = [[] for _ in range(n)]
    done = 0
    for part in owned.values():
        tiles[int(n * (done + len(part) / 2) / len(table))] += part
        done += len(part)
    return [tile for tile in tiles if tile]


PAIR_RULES = {
    "all": lambda x, y: [(a, b) for a in x for b in y],
    "same_depth": lambda x, y: [(a, a) for a in x if a in y],
    "adjacent": lambda x, y: list(zip(x[:-1], y[1:], strict=False)),
    # of layers LABEL/LAYER of several models, which are one side
    "between_models": lambda x, y: [
        (a, b) for i, a in enumerate(x) for b in y[i + 1 :] if label_of(a) != label_of(b)
    ],
}
