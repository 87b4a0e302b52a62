r"""How often advice was right: our own models and a real Whisper, into docs/advice.json and .md.

    hf-repsim demo --seeds 4 -o demo
    python scripts/advice_record.py --demo demo --digits digits.parquet \
        --sentences sentences.parquet --whisper whisper-tiny-en --real runs/transformer \
        --work advice-work

`demo` holds recognisers of synthetic digits and their trajectories. `digits` are strings of real
ones (columns audio, id, text, speaker_id, words), `sentences` read speech with transcripts, `real`
a Transformer trained on real digits one by one (size small, join 5, 24 epochs). Each case leaves a
file in the work folder, and what is there is not done again. `--write` puts what is there into the
documents.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from advice_page import page, summary

from hf_repsim.advice import ADVICE
from hf_repsim.terminal import quiet

DOCS = Path(__file__).resolve().parents[1] / "docs"
_PLACES = ("demo", "digits", "sentences", "real")
TABLE = "<!-- advice -->"  # of the README, above it


def write(work: Path, docs: Path) -> None:
    """Put the cases that were done into docs/advice.json and .md, and into the README's table.

    Cases that are there already stay, unless they were done again.
    """
    kept = docs / "advice.json"
    found = json.loads(kept.read_text(encoding="utf-8"))
    found += [json.loads(path.read_text(encoding="utf-8")) for path in work.glob("case-*.json")]
    by_name = {case["case"]: case for case in found}
    told = sorted(by_name.values(), key=lambda case: (_kind(case), file_name(case["case"])))
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    kept.write_text(f"{text}\n", encoding="utf-8")
    (docs / "advice.md").write_text(page(told), encoding="utf-8")
    readme = docs.parent / "README.md"
    before, _, after = readme.read_text(encoding="utf-8").partition(f"{TABLE}\n")
    rest = re.sub(r"\A(?:\|.*\n)*", "", after)
    readme.write_text(f"{before}{TABLE}\n{summary(told)}\n{rest}", encoding="utf-8")


def _kind(case: dict) -> int:
    return list(ADVICE).index(case["records"][0]["kind"])


def file_name(case: str) -> str:
    """Of what a case came to, in the work folder."""
    return f"case-{case.replace(' ', '-').replace('%', 'percent')}.json"


def main() -> int:
    """Run the cases that are not done yet, or write the documents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", type=Path, required=True)
    for name in _PLACES:
        add(f"--{name}", type=Path)
    add("--whisper", help="name or folder")
    add("--only", nargs="+", default=[""], help="cases whose name begins so")
    add("--write", action="store_true", help="no more than the documents; needs --work alone")
    chosen = parser.parse_args()
    if chosen.write:
        write(chosen.work, DOCS)
        return 0
    from advice_cases import cases  # here, as they take seconds to load
    from advice_material import Material

    given = {name: getattr(chosen, name) for name in (*_PLACES, "whisper", "work")}
    if lacking := [name for name, value in given.items() if value is None]:
        parser.error(f"the cases need --{', --'.join(lacking)}")
    of = Material(**given)
    of.work.mkdir(parents=True, exist_ok=True)
    todo = cases(of)
    for name in [name for first in chosen.only for name in todo if name.startswith(first)]:
        path = of.work / file_name(name)
        if path.exists():
            continue
        with quiet():
            told = {"case": name, "records": todo[name]()}
        path.write_text(json.dumps(told, indent=1), encoding="utf-8")
        print(name, [one["followed"] for one in told["records"]], file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
