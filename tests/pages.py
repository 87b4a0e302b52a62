"""Made-up results for pages, and what a page has in it."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from itertools import product
from urllib.parse import parse_qs

import numpy as np

from hf_repsim.result import SimilarityResult

EVIL = '</script><img src=x onerror="alert(1)">'
REFUSED = "refused: layer encoder.1 is constant over all frames"
CHANCE = "fewer than 10 frames per dimension: compare with the null"


def comparison(
    n_x=4, n_y=5, *, seed=0, measures=("linear_cka", "svcca"), names="encoder", **changes
):
    """Two models' layers; encoder.1 with encoder.2 is refused, and encoder.0 with itself noted.

    A value tells where it is from: 0.1 i + 0.01 j, and 0.001 more in the second measure.
    """
    x, y = ([f"encoder.{i}" for i in range(n)] for n in (n_x, n_y))
    rows = [
        {
            "measure": measure, "layer_x": x[i], "layer_y": y[j],
            "value": round((0.1 * i + 0.01 * j + 0.001 * k + 0.3 * seed) % 1, 4),
            "null": round(0.02 + 0.001 * k + 0.0001 * i, 4),
            "rank_x": 10 + i if measure == "svcca" else None,
            "rank_y": 20 + j if measure == "svcca" else None,
            "n_frames": 61204, "n_utterances": 500, "note": "",
        }
        for k, measure in enumerate(measures)
        for i, j in product(range(n_x), range(n_y))
    ]  # fmt: skip
    rows[n_y + 2] |= {"value": np.nan, "null": np.nan, "note": REFUSED}
    rows[0] |= {"note": CHANCE}
    columns = {name: [row[name] for row in rows] for name in rows[0]} | changes
    models = {
        "x": {"name": "org/first", "revision": "a" * 40},
        "y": {"name": "org/second", "revision": "b" * 40},
    }
    probe = {"dataset": "org/speech", "config": "clean", "split": "test", "revision": "c" * 40}
    versions = {"hf_repsim": "0.1.0", "torch": "2.9"}
    return SimilarityResult(
        columns,
        {"models": models, "probe": probe, "versions": versions, "created": "2026-01-02T03:04:05"},
    )


def trajectories(*, encoders=("cnn", "lstm"), layers=3, seeds=2, steps=(0, 10, 20), value=None):
    """Rows against "final" and "self" of every run; ``value(seed, step)`` is that of all pairs."""
    value = value or (lambda seed, step: 0.5 + step / 100)
    names = [f"conv.{i}" for i in range(layers)]
    pairs = {"final": list(product(names, names))}
    triangle = ["input", *names, "logits"]
    pairs["self"] = [(a, b) for i, a in enumerate(triangle) for b in triangle[i + 1 :]]
    rows = [
        {
            "measure": measure, "layer_x": x, "layer_y": y, "value": value(seed, step),
            "run": f"{encoder}-{seed}", "encoder": encoder, "variant": "", "seed": seed,
            "step": step, "epoch": step / 10, "wer": 0.9, "cer": 1 - step / 40, "against": against,
            "n_frames": 500, "n_utterances": 20,
        }
        for encoder, seed, step in product(encoders, range(seeds), steps)
        for measure, against in product(("blocked_cka", "flat_pearson"), pairs)
        for x, y in pairs[against]
    ]  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    provenance = {"probe": {"dataset": "held-out"}, "versions": {"torch": "2.9"}}
    return SimilarityResult(columns, provenance | {"created": "2026-01-02"})


def long_trajectory(layers=33, steps=40, measures=("blocked_cka", "linear_cka", "svcca", "pwcca")):
    """One run of a deep model with values and nulls that differ at every checkpoint."""
    rng = np.random.default_rng(0)
    shape = (len(measures), steps, layers, layers)
    depth = np.abs(np.subtract.outer(np.arange(layers), np.arange(layers)))
    way = np.linspace(0.2, 1, steps)[:, None, None]
    value = np.exp(-depth / (4 + 8 * way)) * (0.3 + 0.7 * way) + rng.uniform(-0.02, 0.02, shape)
    index = np.indices(shape).reshape(4, -1)
    n = index.shape[1]
    columns = {
        "measure": [measures[k] for k in index[0]],
        "layer_x": [f"encoder.{i}" for i in index[2]],
        "layer_y": [f"encoder.{j}" for j in index[3]],
        "value": value.clip(0, 1).ravel(),
        "null": rng.uniform(0.01, 0.1, n),
        "step": [100 * int(s) for s in index[1]],
        "epoch": [float(s) for s in index[1]],
    }
    rate = np.linspace(1, 0.2, steps)
    columns |= {"wer": rate[index[1]], "cer": 0.5 * rate[index[1]]}
    same = {"run": "deep", "encoder": "transformer", "variant": "", "seed": 0, "against": "final"}
    same |= {"n_frames": 61204, "n_utterances": 500, "note": ""}
    columns |= {name: [known] * n for name, known in same.items()}
    return SimilarityResult(columns, {"models": {s: {"name": "deep"} for s in "xy"}})


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and every text with the tag it stands in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append((self.tags[-1][0] if self.tags else "", data))


def data_of(page: str) -> dict:
    """What the explorer of a page reads."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)<', page)[1])


def numbers(view: dict, measure: str, column: str = "value") -> list[list[float | None]]:
    """A packed column of a view: a row per checkpoint with a number, or None, per pair."""
    n_pairs = len(view["pairs"] or view["x"] * len(view["y"]))
    n_steps = len(view["steps"] or [0])
    packed = view["measures"][measure].get(column)
    if not isinstance(packed, dict):
        return [[packed] * n_pairs] * n_steps
    kind, none = {16: ("<i2", -(2**15)), 32: ("<i4", -(2**31))}[packed["bits"]]
    whole = np.frombuffer(base64.b64decode(packed["data"]), kind).reshape(packed["rows"], n_pairs)
    table = [[None if n == none else n / packed["per"] for n in row.tolist()] for row in whole]
    return table * n_steps if packed["rows"] == 1 else table


def centre(page, i, j, *, pane=0):
    """Where the cell of layer i of x and layer j of y is in the window."""
    return page.run(
        f"""(() => {{
        const map = document.querySelectorAll('.map')[{pane}];
        map.scrollIntoView({{ block: 'center' }});
        const labels = [...map.querySelectorAll('svg > text')];
        const columns = labels.filter((one) => one.hasAttribute('transform'));
        const [row, column] = [labels[{i}], columns[{j}]].map((one) => one.getBoundingClientRect());
        return [column.x + column.width / 2, row.y + row.height / 2];
        }})()"""
    )


def link(page) -> dict[str, str]:
    """What the link to the view says."""
    asked = parse_qs(page.run("document.getElementById('link').hash.slice(1)"))
    return {name: values[0] for name, values in asked.items()}


def pixel(page, x, y):
    """The colour of the map's canvas at a place of the window."""
    return page.run(
        f"""(() => {{
        const canvas = document.querySelector('.map canvas'), box = canvas.getBoundingClientRect();
        const scale = canvas.width / box.width;
        return [...canvas.getContext('2d').getImageData(
            ({x} - box.left) * scale, ({y} - box.top) * scale, 1, 1).data].join();
        }})()"""
    )
