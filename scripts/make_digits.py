"""Make the spoken digits: "zero" to "nine" by espeak-ng in sixteen voices, twice each.

    python scripts/make_digits.py           # rewrites hf_repsim/assets/digits.parquet

A set to train on where there is no network: small enough for a package, and learnt in minutes on
a processor. The voices are those of the probe, and so is the way they are spoken and stored (see
make_probe.py), but a voice says each digit once slowly and low, once fast and high.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Audio, Features, Value
from make_probe import (
    ASSETS,
    RATE,
    SPEAKERS,
    Line,
    flac,
    require_distinct_voices,
    require_espeak,
    speak,
)

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
# Speed in words a minute, pitch above the voice's own. Faster, the shortest "eight" would leave a
# CTC model with 40 ms frames hardly a frame per letter.
MANNERS = ((140, -10), (165, 10))
QUIETER = 0.35  # models hear normalised samples; the bits this saves keep the file below 2 MB

FEATURES = Features(
    {
        "id": Value("string"),
        "audio": Audio(sampling_rate=RATE),
        "text": Value("string"),
        "speaker_id": Value("string"),
    }
)


def digit_lines() -> list[Line]:
    """What is said: all digits in one manner by one voice, then in the other, then the next."""
    return [
        Line(digit, speaker, speed, pitch + higher)
        for speaker, pitch in SPEAKERS.items()
        for speed, higher in MANNERS
        for digit in DIGITS
    ]


def digits_table() -> pa.Table:
    """The digits as an Arrow table whose metadata tells `datasets` that `audio` is audio."""
    rows = []
    for i, line in enumerate(digit_lines()):
        name = f"digit-{i:03d}"
        audio = {"bytes": flac(QUIETER * speak(line)), "path": f"{name}.flac"}
        rows.append({"id": name, "audio": audio, "text": line.text, "speaker_id": line.speaker})
    return pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema)


def main() -> None:
    """Write the digits and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ASSETS / "digits.parquet")
    out = parser.parse_args().out
    version = require_espeak()
    require_distinct_voices()
    table = digits_table()
    out.parent.mkdir(parents=True, exist_ok=True)
    # FLAC bytes do not compress again
    pq.write_table(table, out, compression="none")
    print(f"{out}: {table.num_rows} clips, {len(SPEAKERS)} voices,")
    print(f"{out.stat().st_size / 1e6:.2f} MB, spoken by espeak-ng {version}")


if __name__ == "__main__":
    main()
