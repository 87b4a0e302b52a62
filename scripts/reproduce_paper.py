r"""The experiment of Ollerenshaw, Jalal and Hain (Interspeech 2021), on any speech dataset.

    python scripts/reproduce_paper.py --data openslr/librispeech_asr:clean:train.100 \
        --size paper --jobs 8 -o reproduction -- --epochs=35 --dtype=bf16

Trains a CNN, an LSTM and a Transformer from several seeds, follows their layers over training, and
writes figures, a report and a verdict on each claim of the paper to the output folder. What stands
behind `--` goes to `hf-repsim train`, see its `--help`. Given again, the command goes on from where
it was stopped. Departures from the paper: any corpus in place of Switchboard, CTC in place of
attention decoders, audio at 16 kHz, and layers are heard without padding.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from hf_repsim.ctc import ENCODERS
from hf_repsim.experiment import MEASURES_FOLLOWED, Experiment, Outcome, run_experiment
from hf_repsim.terminal import print_rows, quiet
from hf_repsim.verdict_table import verdict_rows


def main() -> int:
    """Run the experiment; returns the exit status, 1 if a run failed."""
    arguments, training = _split(sys.argv[1:])
    options = vars(_parser().parse_args(arguments))
    as_json = options.pop("json")
    for name in ("encoders", "seeds", "measures"):
        options[name] = tuple(options[name])
    options["command"] = _told(sys.argv)
    options["variants"] = tuple(tuple(text.split(" ", 1)) for text in options["variants"])
    try:
        with quiet():
            outcome = run_experiment(Experiment(**options, training=tuple(training)), progress=True)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    _print(outcome, as_json=as_json)
    for label, why in outcome.failed.items():
        print(f"failed: {label}: {why}", file=sys.stderr)
    return 1 if outcome.failed else 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _told(arguments: list[str]) -> str:
    """The command, without where on this machine things are."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in arguments[1:]]
    return shlex.join(["python", "scripts/reproduce_paper.py", *words])


def _parser() -> argparse.ArgumentParser:
    description, _, notes = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=notes, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    default = Experiment(data="", output=Path())
    add("--data", required=True, help="DATASET[:CONFIG][:SPLIT], folder or parquet file")
    add("-o", "--output", required=True, type=Path, help="folder for everything")
    add("--encoders", nargs="+", default=default.encoders, choices=list(ENCODERS))
    add("--seeds", nargs="+", type=int, default=default.seeds, help="at least 3 for a verdict")
    add("--size", default=default.size, help="tiny, small (the default) or paper")
    add(
        "--variants",
        nargs="+",
        default=(),
        metavar="'ENCODER VARIANT'",
        help="such as 'cnn width x0.5' or 'lstm depth 6', compared with the size as it is",
    )
    add(
        "--probe",
        default=default.probe,
        help="what the layers hear: held-out (500 of the utterances that runs are evaluated on), "
        "paper (51 of these, nearest 8 s) or DATASET[:CONFIG][:SPLIT]",
    )
    add("--measures", nargs="+", default=MEASURES_FOLLOWED)
    add("--every", type=int, default=1, help="follow every N-th checkpoint")
    add("--jobs", type=int, default=1, help="runs at a time, each on its own GPU if there are many")
    add("--data-name", default=default.data_name, help="what reports and cards call the data")
    add("--data-url", default=default.data_url)
    add("--licence", default=default.licence, help="of the data")
    add("--weights-licence", default=default.weights_licence, help="of the models, for cards")
    add("--title", default=default.title, help="of the report")
    add("--json", action="store_true", help="print the verdicts as JSON")
    return parser


def _print(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_rows(verdict_rows(outcome.verdicts), as_json=True)
    else:
        print_rows(outcome.run_rows(), as_json=False)
        print(f"\n{outcome.summary()}")


if __name__ == "__main__":
    sys.exit(main())
