r"""Fine-tune a speech recogniser, and see what that did to its layers.

    python scripts/finetune.py openai/whisper-tiny --data my/speech:train \
        --eval-data my/speech:test --max-steps 500 -o tuned

MODEL is a name on the Hub or a folder: a CTC model (Wav2Vec2, HuBERT, ...), an encoder that was not
taught to spell (it gets a head and the characters of the transcripts), or one that writes token
after token (Whisper, Speech2Text, ...). Data are any corpus with audio and transcripts: a parquet
file, a folder, NAME[:CONFIG][:SPLIT] on the Hub. Without --eval-data some speakers are held out, so
that error rates are of speakers whom it has not heard.

While it learns, a callback compares each layer with what it was; before and after, WER and CER are
taken; in the end `hf-repsim drift` tells what became of each layer. OUT then has

    model          weights, processor and card: transformers loads it, hf-repsim compares it
    drift          of it from MODEL: hf-repsim show, hf-repsim plot --kind drift
    repsim         over training: hf-repsim show, hf-repsim plot --kind kept
    report.html    both, for any browser
    eval.parquet   the audio that was evaluated on
    finetune.json  settings, what was left out, error rates, and what listening cost

Several GPUs: torchrun or accelerate launch. All audio is held in memory, 115 MB per hour.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Fine-tune, compare, write; returns the exit status, 1 if it could not be done."""
    asked = _parser().parse_args()
    from finetune_run import run  # here, as it takes seconds to load

    from hf_repsim.terminal import quiet

    try:
        with quiet():
            rows = run(asked)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for name, value in rows.items():
        print(f"{name}: {value}")
    return 0


def _parser() -> argparse.ArgumentParser:
    description, _, notes = __doc__.partition("\n")
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        description=description, epilog=notes.strip("\n"), formatter_class=shape
    )
    add = parser.add_argument
    add("model", help="what it begins as: a name on the Hub, or a folder")
    add("--data", required=True, metavar="DATA", help="what it learns from")
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for all of it")
    add("--resume", action="store_true", help="go on with what is in OUT")
    add("--max-utterances", type=int, metavar="N", help="the first so many of DATA")
    add("--max-seconds", type=float, default=30.0, metavar="S",
        help="longer utterances are left out (30)")  # fmt: skip
    add("--text-column", metavar="NAME", help="of the transcripts; found by its name")
    add("--speaker-column", metavar="NAME", help="of the speakers; found by its name")
    _evaluation(parser.add_argument_group("evaluation"))
    _learning(parser.add_argument_group("learning"))
    _publishing(parser.add_argument_group("publishing"))
    return parser


def _evaluation(group: Any) -> None:
    add = group.add_argument
    add("--eval-data", metavar="DATA", help="another corpus, or another split: NAME:SPLIT")
    add("--eval-fraction", type=float, default=0.1, metavar="F",
        help="of the seconds, said by speakers who are held out (0.1)")  # fmt: skip
    add("--eval-speakers", nargs="+", metavar="NAME", help="those who are held out")
    add("--max-eval-utterances", type=int, metavar="N", help="the first so many")
    add("--eval-steps", type=int, metavar="N", help="updates between evaluations (a fifth of all)")
    add("--probe", metavar="DATA", help="what the layers hear, 16 utterances (those evaluated on)")
    add("--listen-every", type=int, metavar="N", help="updates (after each evaluation)")
    add("--listen-at-most", type=float, metavar="SHARE",
        help="of the time, as 0.05: hearings that would pass it are skipped (none)")  # fmt: skip
    add("--part", choices=("encoder", "decoder"), default="encoder",
        help="whose layers are followed and compared (encoder)")  # fmt: skip
    add("--against", default="initial", metavar="WHAT",
        help="what layers are compared with: initial, previous, or a model (initial)")  # fmt: skip


def _learning(group: Any) -> None:
    add = group.add_argument
    add("--max-steps", type=int, default=500, metavar="N", help="updates (500)")
    add("--learning-rate", type=float, default=1e-5, metavar="X", help="the highest one (1e-5)")
    add("--batch-size", type=int, default=8, metavar="N", help="utterances a device (8)")
    add("--gradient-accumulation", type=int, default=1, metavar="N", help="batches an update (1)")
    add("--lora", type=int, metavar="RANK", help="train adapters of this rank alone; needs peft")
    add("--train-front-end", action="store_true", help="and not only what is behind it")
    add("--language", metavar="NAME", help="that Whisper is to write, as english")
    add("--bf16", action="store_true", help="in half precision")
    add("--seed", type=int, default=0, metavar="N")
    add("--report-to", default="none", metavar="NAME", help="tensorboard, trackio, wandb, ...")
    add("--trust-remote-code", action="store_true", help="run code that comes with MODEL")


def _publishing(group: Any) -> None:
    add = group.add_argument
    add("--push-to-hub", metavar="USER/NAME", help="the model, and its results in USER/NAME-layers")
    add("--private", action="store_true", help="for few to see")
    add("--license", metavar="NAME", help="of the weights, as the Hub spells it: mit")


if __name__ == "__main__":
    sys.exit(main())
