"""The command line: tables or JSON on stdout, progress and warnings on stderr.

Exit status: 0 done, 1 could not, 2 wrong usage. What is heavy is imported by the command that
needs it, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hf_repsim import __version__
from hf_repsim.cli.advise import advise
from hf_repsim.cli.app import push_space, view
from hf_repsim.cli.compare import compare
from hf_repsim.cli.drift import drift
from hf_repsim.cli.hub import list_results, push, show
from hf_repsim.cli.matrix import matrix
from hf_repsim.cli.options import loading, speaking
from hf_repsim.cli.plan import plan
from hf_repsim.cli.profile import profile
from hf_repsim.cli.push_model import push_model
from hf_repsim.cli.report import report
from hf_repsim.cli.results import contrast, merge, score
from hf_repsim.cli.selftest import selftest
from hf_repsim.cli.train import train
from hf_repsim.cli.trajectory import trajectory
from hf_repsim.terminal import Command, Group, errors, print_rows, quiet

if TYPE_CHECKING:
    from hf_repsim.models.layers import Layer

DEMO_FOLDER = "hf-repsim-demo"
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=Group,
    context_settings=_HELP,
    example="hf-repsim demo\n"
    "hf-repsim layers openai/whisper-base\n"
    "hf-repsim compare facebook/wav2vec2-base facebook/hubert-base-ls960 \\\n"
    "    --probe openslr/librispeech_asr:clean:test --max-utterances 500 -o w2v2-vs-hubert",
)
@click.version_option(__version__, prog_name="hf-repsim")
def main() -> None:
    """What do the layers of a speech model know, and how do they differ from another model's?"""


main.add_command(advise)
main.add_command(compare)
main.add_command(drift)
main.add_command(matrix)
main.add_command(profile)
main.add_command(list_results)
main.add_command(push)
main.add_command(contrast)
main.add_command(merge)
main.add_command(plan)
main.add_command(report)
main.add_command(show)
main.add_command(score)
main.add_command(selftest)
main.add_command(train)
main.add_command(trajectory)
main.add_command(push_model)
main.add_command(push_space)
main.add_command(view)


@main.command(cls=Command, example="hf-repsim layers facebook/wav2vec2-base")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
@speaking
@loading
def layers(model: str, as_json: bool, **options: Any) -> None:
    """List the layers of MODEL with their features and milliseconds per frame.

    Rows of a decoder (--part decoder) are tokens. Reads its configuration only, no weights. Where
    it hears, and how large that is, goes to standard error.
    """
    with errors():
        from hf_repsim.models.checkpoint import find_checkpoint

        found = find_checkpoint(model, **options)
        whole, anatomy = found.skeleton()
        table = anatomy.layers.values()
    click.echo(found.account(whole, anatomy), err=True)
    rows = [
        {
            "layer": layer.name,
            "hidden_states": layer.hidden_state,
            "module": layer.module_path,
            "features": layer.n_features,
            **_rows_of(layer),
            "default": layer.default,
        }
        for layer in table
    ]
    print_rows(rows, as_json=as_json)


def _rows_of(layer: Layer) -> dict[str, Any]:
    """When frames fall; of a decoder that its rows are tokens."""
    told = layer.clock.provenance()
    if "unit" in told:
        return {"rows": told["unit"] + "s"}
    return {"ms_per_frame": round(told["hop_ms"], 4), "first_frame_ms": round(told["offset_ms"], 4)}


@main.command(cls=Command, example="hf-repsim measures --json | jq .[].name")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON instead of a table.")
def measures(as_json: bool) -> None:
    """List the similarity measures: what each is, where it is from, what leaves it alone."""
    from hf_repsim.measures import MEASURES

    rows = [
        {
            "name": m.name,
            "default": m.default,
            "definition": m.definition,
            "source": m.source,
            "invariant_to": sorted(m.invariances),
            "symmetric": m.symmetric,
            "range": list(m.range),
        }
        for m in MEASURES.values()
    ]
    if as_json:
        return print_rows(rows, as_json=as_json)
    for row in rows:
        mark = " (default)" if row["default"] else ""
        invariant = ", ".join(row["invariant_to"]) + ("" if row["symmetric"] else "; not symmetric")
        click.echo(f"{row['name']}{mark}\n  {row['definition']}\n  {row['source']}")
        click.echo(f"  invariant to {invariant}")


@main.command(cls=Command, example="hf-repsim plot result --measure svcca -o svcca.pdf")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--kind", default="heatmap", show_default=True,
              help="heatmap or profile; of the measures of robust also robustness; of several "
              "models also models or map; of what profile made also targets, of what drift made "
              "layers; of a trajectory also change, convergence, steps, adjacent, ends, variants "
              "or error.")  # fmt: skip
@click.option("--measure", "measures", multiple=True, metavar="NAME", help="May be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path),
              help="PNG, PDF or SVG file.  [default: FOLDER/KIND.png]")  # fmt: skip
def plot(folder: Path, *, kind: str, measures: tuple[str, ...], output: Path | None) -> None:
    """Draw a saved result."""
    with errors():
        from hf_repsim.plot import save_figure
        from hf_repsim.storage import load_result

        result = load_result(folder, moments=False)
        output = output or folder / f"{kind}.png"
        save_figure(result.plot(kind, list(measures) or None), output)
    click.echo(output)


@main.command(cls=Command, example="hf-repsim demo --seeds 3")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=DEMO_FOLDER,
              show_default=True, help="Folder; a stopped demo goes on.")  # fmt: skip
@click.option("--seeds", "n_seeds", type=click.IntRange(1), default=1, show_default=True,
              help="Runs of each recogniser; from 3 on there are verdicts.")  # fmt: skip
def demo(output: Path, n_seeds: int) -> None:
    """Train a CNN, an LSTM and a Transformer on spoken digits, and follow their layers.

    Needs no network, and takes about two minutes on two cores.
    """
    with errors():
        from hf_repsim.demo import small_experiment
        from hf_repsim.experiment import run_experiment

        experiment = small_experiment(output, n_seeds=n_seeds)
        with quiet():
            outcome = run_experiment(experiment, progress=True)
    print_rows(outcome.run_rows(), as_json=False)
    click.echo(f"\n{outcome.summary()}")
    for label, why in outcome.failed.items():
        click.echo(f"failed: {label}: {why}", err=True)
    if outcome.failed:
        raise SystemExit(1)
