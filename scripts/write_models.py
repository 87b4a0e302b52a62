"""Write docs/models.md: what each audio architecture of transformers is heard with.

python scripts/write_models.py [ENTRY]...
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))


def main(names: list[str]) -> None:
    """Hear the entries that are named, or all, and write the document."""
    from zoo import ZOO
    from zoo_entry import save
    from zoo_facts import DOCUMENT, REFUSED, document, lacking, row

    from hf_repsim.models.checkpoint import find_checkpoint

    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names or ZOO:
            if name in REFUSED or lacking(name):
                continue
            found = find_checkpoint(save(ZOO[name], Path(folder) / name))
            rows[name] = row(name, found.skeleton()[1], found.extractor.sampling_rate)
            print(rows[name], file=sys.stderr)
    DOCUMENT.write_text(document(rows), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
