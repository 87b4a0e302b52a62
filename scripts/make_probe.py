"""Make the embedded probe: sentences of our own, spoken by espeak-ng in sixteen voices.

    python scripts/make_probe.py            # rewrites hf_repsim/assets/probe.parquet

Needs the program espeak-ng (1.51 made the file in the repository; another version speaks a
little differently). The audio is stored as FLAC, because a lossless file decodes to the same
samples, and so to the same probe fingerprint, on every machine; a Vorbis file would be a
third of the size and decode to slightly different samples elsewhere.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr
from datasets import Audio, Features, Value

ASSETS = Path(__file__).resolve().parent.parent / "hf_repsim" / "assets"
RATE = 16000  # samples per second
# espeak-ng peaks near 0.65; this leaves 12 bits of signal and saves a fifth of the FLAC file
GAIN = 0.16

# Written for this file; no corpus. Lower case and no marks, so that they are CTC targets as is.
SENTENCES = """
the old boat sails past the quiet harbour
my brother found a silver coin under the bridge
please bring two cups of warm ginger tea
seven yellow birds sat along the garden fence
she measures every plank before she cuts it
thunder rolled across the empty valley
the judge asked a very simple question
we usually walk to the beach at noon
fresh bread smells better than roses
a young fox jumped over the frozen stream
their cousin works in a noisy toy shop
put the small white box on the upper shelf
nobody heard the clock strike nine
the choir sang loudly and the crowd joined in
he took a long vacation by the southern sea
green leaves turn brown when autumn comes
both of them enjoy spicy food
the engine coughed twice and then stopped
can you hear the owl in that tree
an honest answer is worth the trouble
children laugh when the puppy chases its tail
the road to the village is narrow and steep
i would rather have soup than fish
her voice was calm but her hands were shaking
fold the paper along the dotted line
the museum keeps an unusual treasure
big drops of rain hit the window
they could choose between a red and a blue chair
the pilot saw smoke above the mountain
wash the grapes and slice the pears
my father reads the newspaper after lunch
this puzzle has more than a thousand pieces
go home before the storm begins
the moon rose early and shone all night
where did the lazy cat hide this time
he threw the ball higher than the roof
good music makes a slow evening pass
the doctor wrote a short letter to the mayor
ten ships left the port on thursday
a cheap jacket will not keep you warm
the vision of a bright future pleased us
open the door and let the dog out
we baked a cherry pie for the boys
the farmer owes us five sacks of wheat
strong winds pushed the kite toward the church
wait here until the water boils
look through the glass and count the stars
everything in the kitchen was covered with flour
""".strip().splitlines()

# voice (language + variant) -> pitch, 0 to 99. "en", not "en-gb": that name drops the variant.
SPEAKERS = {
    "en-us+m1": 40,
    "en+f2": 60,
    "en-us+f1": 55,
    "en+m2": 35,
    "en-gb-x-rp+f3": 50,
    "en-us+m3": 45,
    "en-gb-scotland+f4": 55,
    "en-gb-x-rp+m4": 40,
    "en-029+f1": 50,
    "en-gb-scotland+m5": 45,
    "en-us-nyc+f2": 50,
    "en-029+m6": 40,
    "en-us+f5": 50,
    "en+m8": 40,
    "en-gb-x-gbclan+linda": 50,
    "en-us+m7": 45,
}
N_UTTERANCES = 64
SPEEDS = (150, 165, 115, 200, 130, 175, 190)  # words a minute; 7 and 16 have no common factor

FEATURES = Features(
    {
        "id": Value("string"),
        "audio": Audio(sampling_rate=RATE),
        "text": Value("string"),
        "speaker": Value("string"),
        "seconds": Value("float64"),
    }
)


@dataclass(frozen=True)
class Line:
    """What one voice is to say: speed in words a minute, pitch 0 to 99."""

    text: str
    speaker: str
    speed: int
    pitch: int


def probe_lines() -> list[Line]:
    """The 64 lines of the probe: every sentence once, the first sixteen again by another voice."""
    voices = list(SPEAKERS)
    lines = []
    for i in range(N_UTTERANCES):
        speaker = voices[(i + i // len(SENTENCES)) % len(voices)]
        text = SENTENCES[i % len(SENTENCES)]
        lines.append(Line(text, speaker, SPEEDS[i % len(SPEEDS)], SPEAKERS[speaker]))
    return lines


def speak(line: Line) -> np.ndarray:
    """Samples (n,) float32 at 16 kHz of espeak-ng saying one line; the same on every call."""
    command = ["espeak-ng", "-v", line.speaker, "-s", str(line.speed), "-p", str(line.pitch)]
    done = subprocess.run([*command, "-z", "--stdout", line.text], capture_output=True, check=True)
    # the header of a stream states no true length, so the samples are what follows it
    header = done.stdout.index(b"data") + 8
    rate = int.from_bytes(done.stdout[24:28], "little")
    samples = np.frombuffer(done.stdout[header:], dtype="<i2").astype(np.float32) / 32768
    if samples.size < rate // 10 or not samples.any():
        raise RuntimeError(f"espeak-ng said nothing for {line}: {done.stderr.decode().strip()}")
    return (GAIN * soxr.resample(samples, rate, RATE)).astype(np.float32)


def flac(samples: np.ndarray) -> bytes:
    """16-bit FLAC of 16 kHz samples, at the highest compression."""
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return file.getvalue()


def probe_table() -> pa.Table:
    """The probe as an Arrow table whose metadata tells `datasets` that `audio` is audio."""
    rows = []
    for i, line in enumerate(probe_lines()):
        samples = speak(line)
        name = f"espeak-{i:02d}"
        audio = {"bytes": flac(samples), "path": f"{name}.flac"}
        seconds = len(samples) / RATE
        row = {"id": name, "audio": audio, "text": line.text}
        rows.append(row | {"speaker": line.speaker, "seconds": seconds})
    return pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema)


def require_distinct_voices() -> None:
    """Stop if two speakers are one voice: espeak-ng ignores a variant it does not know."""
    spoken = {voice: speak(Line(SENTENCES[0], voice, 160, 50)).tobytes() for voice in SPEAKERS}
    if len(set(spoken.values())) < len(spoken):
        raise SystemExit(f"some of these voices are the same here: {', '.join(spoken)}")


def require_espeak() -> str:
    """The version of espeak-ng; ends the program if it is not installed."""
    if shutil.which("espeak-ng") is None:
        raise SystemExit("this script needs espeak-ng: apt-get install espeak-ng")
    said = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split("Data at")[0].split(":")[-1].strip()


def main() -> None:
    """Write the probe and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ASSETS / "probe.parquet")
    out = parser.parse_args().out
    version = require_espeak()
    require_distinct_voices()
    table = probe_table()
    out.parent.mkdir(parents=True, exist_ok=True)
    # FLAC bytes do not compress again
    pq.write_table(table, out, compression="none")
    seconds = sum(table["seconds"].to_pylist())
    print(f"{out}: {table.num_rows} utterances, {len(SPEAKERS)} voices, {seconds:.1f} s,")
    print(f"{out.stat().st_size / 1e6:.2f} MB, spoken by espeak-ng {version}")


if __name__ == "__main__":
    main()
