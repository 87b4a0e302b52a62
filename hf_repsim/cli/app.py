"""`hf-repsim view` and `push-space`: look at results in a browser, here or on the Hub."""

from __future__ import annotations

import click

from hf_repsim.terminal import Command, errors

_WHERE = click.argument("where", nargs=-1, metavar="[WHERE]...")


@click.command(
    cls=Command, example="hf-repsim view result other-result\nhf-repsim view me/name --no-open"
)
@_WHERE
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen at; 0.0.0.0 lets others in.")  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535),
              help="[default: the first free one from 7860]")  # fmt: skip
@click.option("--open/--no-open", "open_browser", default=True, help="Show it in the browser.")
@click.option("--author", default="", help="Look on the Hub for results of this author ...")
@click.option("--model", default="", help="... and of this model.")
def view(where: tuple[str, ...], *, host: str, port: int | None, open_browser: bool, author: str,
         model: str) -> None:  # fmt: skip
    """Look at results in a browser, alone or side by side, until Ctrl-C.

    WHERE is a result folder, a folder that holds some, or a Hub name: NAME, NAME@REVISION or
    NAME:KEY. Any result on the Hub can be opened from the page.
    """
    with errors():
        from hf_repsim.app import launch

        blocks = launch(
            where, host=host, port=port, open_browser=open_browser, author=author, model=model
        )
    click.echo(blocks.local_url)
    blocks.block_thread()


@click.command("push-space", cls=Command, example="hf-repsim push-space me/my-results result")
@click.argument("repo_id")
@_WHERE
@click.option("--title", help="Over the Space.  [default: its name]")
@click.option("--private/--public", default=None, help="[default: as your account has it]")
@click.option("--commit-message", help="[default: one that says what is done]")
def push_space(repo_id: str, where: tuple[str, ...], *, title: str | None, private: bool | None,
               commit_message: str | None) -> None:  # fmt: skip
    """Publish the viewer as the Space REPO_ID, in one commit.

    WHERE is what it offers: result folders, whose tables go with it, and Hub names. Log in first:
    hf auth login, or HF_TOKEN.
    """
    with errors():
        from hf_repsim import space

        options = {"title": title, "private": private, "commit_message": commit_message}
        click.echo(space.push_space(repo_id, where, **options))
