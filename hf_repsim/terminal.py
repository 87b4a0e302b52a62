"""What commands share on a terminal: rows, errors in one line, and quiet libraries."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click


class _WithExample:
    """Help that ends with an example to paste, lines kept as they are written."""

    def __init__(self, *args: Any, example: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example below the options."""
        lines = "".join(f"\n  {line}" for line in self.example.splitlines())
        formatter.write(f"\nExample:{lines}\n")


class Command(_WithExample, click.Command):
    """A command with an example."""


class Group(_WithExample, click.Group):
    """A group of commands with an example."""


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Rows on stdout, as a table or as JSON."""
    from hf_repsim.table import aligned

    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    texts = [list(rows[0])] + [["-" if v is None else str(v) for v in row.values()] for row in rows]
    click.echo(aligned(texts))


@contextmanager
def errors() -> Iterator[None]:
    """Turn what the package raises for users into one line; a bug keeps its traceback."""
    try:
        yield
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if isinstance(error, click.ClickException):
            raise
        if getattr(error, "is_told", False):  # by another process, as its own
            raise SystemExit(1) from error
        raise click.ClickException(str(error)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Warnings as one line each, and no bars but our own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
        warnings.filterwarnings("default")
        yield
