"""The viewer: a page that opens results from folders and from the Hub, alone or side by side.

The same page runs on this machine (`hf-repsim view`) and in a Space (`hf-repsim push-space`). It
asks for no address but the Hub's, and names from strangers are escaped where they become HTML.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from hf_repsim.measures import measure_label
from hf_repsim.trajectory_plot import TRAJECTORY_FIGURES
from hf_repsim.viewer.scene import Scene, search
from hf_repsim.viewer.shelf import Shelf
from hf_repsim.viewer.view import View
from hf_repsim.viewer.words import as_csv, on_screen

try:
    import gradio
except ImportError as error:
    raise ImportError("hf_repsim.app needs gradio: pip install 'hf_repsim[app]'") from error

_FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
_WAITING, _AT_ONCE = 64, 4  # visitors
_QUIET = {"show_progress": "hidden", "api_visibility": "private"}
_WIDE = {"min_width": 280}  # pixels, below which a row becomes a column


def launch(
    where: Iterable[str | Path] = (),
    *,
    host: str | None = None,
    port: int | None = None,
    open_browser: bool = False,
    author: str = "",
    model: str = "",
) -> gradio.Blocks:
    """Start the viewer and return at once; `local_url` says where, `block_thread()` stays with it.

    Args:
        where: what may be opened: result folders, folders that hold some, names on the Hub.
        host: the address to listen at; None: GRADIO_SERVER_NAME, else this machine alone. Where
            others can come, the Hub is asked without your token, but for the names in `where`.
        port: None: GRADIO_SERVER_PORT, else the first that is free from 7860 on.
        open_browser: show the page.
        author: whose results the page looks for on the Hub when it opens.
        model: of which model.

    Raises ValueError for a place that holds no result, and OSError where the port is taken.
    """
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    blocks = build_app(Shelf.of(where, is_public=_is_public(host)), author=author, model=model)
    blocks.queue(max_size=_WAITING, default_concurrency_limit=_AT_ONCE)
    blocks.launch(
        **{"server_name": host, "server_port": port, "inbrowser": open_browser, "share": False},
        theme=gradio.themes.Default(**_FONTS),
        css=_template("viewer.css"),
        footer_links=["settings"],
        quiet=True,
        prevent_thread_lock=True,
        max_file_size="1kb",  # nothing is uploaded here
        # what else a page can bring: a server of its own for tools, one for rendering, traffic
        **{"mcp_server": False, "ssr_mode": False, "pwa": False, "enable_monitoring": False},
        run_history=False,
    )
    return blocks


def build_app(shelf: Shelf, *, author: str = "", model: str = "") -> gradio.Blocks:
    """The page for these results, not yet started; `author` and `model` as for `launch`."""
    with gradio.Blocks(title="hf_repsim", analytics_enabled=False) as blocks:
        page = _Page(shelf, author, model)
        page.listen()
        page.draw_after(
            blocks.load(
                *(page.restore, page.query, page.settled),
                js="() => window.location.search",
                show_progress="hidden",
            )
        )
        if author or model:
            blocks.load(page.search, [page.author, page.model], page.result_of_search, **_QUIET)
    return blocks


class _Page:
    """The components in their order on the page, and what happens when one is touched."""

    def __init__(self, shelf: Shelf, author: str, model: str) -> None:
        self.shelf = shelf
        self._place_results(author, model)
        self._place_choices()
        self._place_pictures()
        self.query = gradio.Textbox(visible=False)
        self.file = gradio.Textbox(visible=False)
        self.steps = gradio.State([])  # which step stands at which place of the slider
        self.given = [
            *(self.a, self.b, self.measure, self.layers, self.run, self.against, self.step),
            *(self.figure, self.rows, self.whole, self.steps),
        ]
        self.settled = [
            *(*self.given, self.of_training, self.tab),
            *(self.wrong, self.about, self.query),
        ]

    def _place_results(self, author: str, model: str) -> None:
        offered = {"choices": self.shelf.addresses, "value": "", "allow_custom_value": True}
        gradio.HTML("<h2>How alike are the layers of speech models?</h2>")
        with gradio.Row():
            info = "a folder, or a name on the Hub: me/name, me/name@revision, me/name:KEY"
            self.a = gradio.Dropdown(label="Result a", info=info, **_WIDE, **offered)
            info = "another one, to be seen beside it"
            self.b = gradio.Dropdown(label="Result b", info=info, **_WIDE, **offered)
        with gradio.Accordion("Find results on the Hub", open=bool(author or model)):
            with gradio.Row(equal_height=True):
                self.author = gradio.Textbox(author, label="Author", max_lines=1)
                self.model = gradio.Textbox(model, label="Model", max_lines=1)
                self.look = gradio.Button("Search", scale=0)
            self.found = gradio.Radio(show_label=False, visible=False)
            with gradio.Row(visible=False) as self.opening:
                self.open_a = gradio.Button("Open", size="sm")
                self.open_b = gradio.Button("Open beside", size="sm")
            self.said = gradio.HTML()
        self.result_of_search = [self.found, self.opening, self.said]

    def _place_choices(self) -> None:
        with gradio.Row():
            info = "what likeness means; see hf-repsim measures"
            self.measure = gradio.Dropdown(label="Measure", info=info, choices=[], **_WIDE)
            self.layers = gradio.Dropdown(
                **{"label": "Layers", "info": "patterns such as encoder.*; all if there is none"},
                **{"choices": [], "multiselect": True, "allow_custom_value": True, **_WIDE},
            )
        with gradio.Row(visible=False) as self.of_training:
            self.run = gradio.Dropdown(label="Run", choices=[], min_width=240)
            self.against = gradio.Dropdown(label="Against", choices=[], min_width=240)
            self.step = gradio.Slider(1, 2, step=1, label="Checkpoint", min_width=240)

    def _place_pictures(self) -> None:
        self.wrong = gradio.HTML()
        with gradio.Row(elem_id="seen"):
            self.heatmaps = gradio.HTML()
            self.about = gradio.HTML()
        with gradio.Tab("Over depth"):
            self.profiles = gradio.HTML()
        with gradio.Tab("Over training", visible=False) as self.tab:
            self.figure = gradio.Dropdown(list(TRAJECTORY_FIGURES), label="Figure")
            self.training = gradio.HTML()
        with gradio.Tab("Table"):
            with gradio.Row():
                info = "words to look for, and conditions such as value>=0.9 layer_x=encoder.*"
                self.rows = gradio.Textbox(label="Rows", info=info, max_lines=1)
                self.whole = gradio.Checkbox(label="All rows, not only the picture's", scale=0)
                self.save = gradio.Button("Download CSV", scale=0)
            self.counted = gradio.HTML()
            self.table = gradio.Dataframe(interactive=False)
        with gradio.Tab("Where it comes from"):
            self.origin = gradio.HTML()
        with gradio.Tab("Link"):
            self.link = gradio.Textbox(label="This view", interactive=False)

    def listen(self) -> None:
        """Answer every component."""
        parts = (self.a, self.b, self.measure, self.layers, self.run, self.against)
        self.draw_after(self._on(parts, self.settle, self.settled))
        moved = self._on([self.step], self.draw, [self.heatmaps, self.query])
        self._share(moved).then(self.tabulate, self.given, self.tables, **_QUIET)
        self._share(self._on([self.rows, self.whole], self.tabulate, self.tables))
        self._share(self._on([self.figure], self.train, [self.training, self.query]))
        for button, place in ((self.open_a, self.a), (self.open_b, self.b)):
            put = button.click(lambda address: address or "", self.found, place, **_QUIET)
            self.draw_after(put.then(self.settle, self.given, self.settled, **_QUIET))
        self.look.click(
            self.search, [self.author, self.model], self.result_of_search, api_name="search"
        )
        saved = self.save.click(self.csv, self.given, self.file, **_QUIET)
        saved.then(None, self.file, self.file, js=_template("viewer_save.js"), **_QUIET)

    def draw_after(self, settled: Any) -> None:
        """All parts of the page, the heatmaps first."""
        drawn = settled.then(self.draw, self.given, [self.heatmaps, self.query], **_QUIET)
        rest = [self.profiles, self.training, *self.tables, self.origin]
        self._share(drawn).then(self.finish, self.given, rest, **_QUIET)

    @property
    def tables(self) -> list:
        """What a change of rows changes."""
        return [self.counted, self.table, self.query]

    def restore(self, query: str) -> list:
        """The view that a link describes; without a result in it the first that is offered."""
        return self._settled(self._scene(lambda: self._first_if_none(View.from_query(query))))

    def settle(self, *given: Any) -> list:
        """Components that fit what was chosen."""
        return self._settled(self._of(given))

    def draw(self, *given: Any) -> list:
        """The heatmaps, and the link."""
        scene = self._of(given)
        return [scene.heatmaps(), scene.view.query()]

    def train(self, *given: Any) -> list:
        """The figure of training, and the link."""
        scene = self._of(given)
        return [scene.training(), scene.view.query()]

    def tabulate(self, *given: Any) -> list:
        """How many rows, the first of them, and the link."""
        scene = self._of(given)
        rows, said = scene.table()
        header, cells, kinds = on_screen(rows)
        table = gradio.Dataframe({"headers": header, "data": cells}, datatype=kinds)
        return [said, table, scene.view.query()]

    def finish(self, *given: Any) -> list:
        """What stands below the heatmaps."""
        scene = self._of(given)
        return [scene.profiles(), scene.training(), *self.tabulate(*given), scene.origin()]

    def csv(self, *given: Any) -> str:
        """All rows that are chosen, as CSV."""
        return as_csv(self._of(given).table()[0])

    def search(self, author: str, model: str) -> list:
        """Results on the Hub of an author, a model, or both."""
        found, said = search(self.shelf, author=author or "", model=model or "")
        choices = gradio.Radio(choices=found, value=None, visible=bool(found))
        return [choices, gradio.Row(visible=bool(found)), said]

    def _on(self, parts: Iterable[Any], answer: Callable, outputs: list) -> Any:
        return gradio.on(
            [part.submit if part is self.rows else part.input for part in parts],
            *(answer, self.given, outputs),
            trigger_mode="always_last",
            **_QUIET,
        )

    def _share(self, event: Any) -> Any:
        return event.then(None, self.query, self.link, js=_template("viewer_share.js"), **_QUIET)

    def _of(self, given: Sequence[Any]) -> Scene:
        return self._scene(lambda: View.chosen(given))

    def _scene(self, make: Callable[[], View]) -> Scene:
        try:
            return Scene.of(self.shelf, make())
        except ValueError as error:
            return Scene(self.shelf, View(), (), (self.shelf.in_words(error),))

    def _first_if_none(self, view: View) -> View:
        return view if view.a else replace(view, a=next(iter(self.shelf.addresses), ""))

    def _settled(self, scene: Scene) -> list:
        view, course, wrong = scene.view, scene.course, scene.wrong()
        names = [(measure_label(name), name) for name in scene.measures]
        patterns = dict.fromkeys((*scene.kinds, *view.layers))
        steps = list(course.steps) if course else []
        return [
            gradio.Dropdown(choices=self.shelf.beside(view.a), value=view.a),
            gradio.Dropdown(choices=["", *self.shelf.beside(view.b)], value=view.b),
            _among(names, view.measure),
            gradio.Dropdown(choices=list(patterns), value=list(view.layers)),
            _among(course.runs if course else (), view.run),
            _among(course.targets if course else (), view.against),
            gradio.Slider(maximum=max(2, len(steps)), value=course.i + 1 if course else 1),
            _among(TRAJECTORY_FIGURES, view.figure),
            *(view.rows, view.whole, steps),
            gradio.Row(visible=course is not None),
            gradio.Tab(visible=course is not None),
            gradio.HTML(wrong, visible=bool(wrong)),
            *(scene.about(), view.query()),
        ]


def _among(choices: Iterable[Any], value: str) -> gradio.Dropdown:
    """Choices with this one chosen; what a box shows must be a choice, or no event gets through."""
    pairs = [choice if isinstance(choice, tuple) else (choice, choice) for choice in choices]
    more = [(value, value)] if value and value not in [name for _, name in pairs] else []
    return gradio.Dropdown(choices=[*pairs, *more], value=value or None)


def _template(name: str) -> str:
    return (files("hf_repsim") / "templates" / name).read_text(encoding="utf-8").strip()


def _is_public(host: str) -> bool:
    """Whether others than the user can reach the page."""
    if "SPACE_ID" in os.environ:
        return True
    try:
        return not ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback
    except ValueError:
        return True
