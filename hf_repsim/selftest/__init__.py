"""`hf-repsim selftest`: what this installation computes, beside what it has to.

Reading order: `synthetic` (measures on frames of which the answer is known), `listening` (models
whose layers are known), `seeds` (networks that are trained for it: the long part).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hf_repsim.circumstances import now, versions
from hf_repsim.markdown import code, plain
from hf_repsim.table import aligned

RIGHT, WRONG, CONTEXT = "as expected", "NOT as expected", "for the reader"
PAGE = "selftest.md"


@dataclass(frozen=True)
class Finding:
    """What was asked of something, what has to come out, and what did."""

    check: str  # the question, the same for all that it is asked of
    subject: str  # a measure, or a kind of model
    expected: str
    found: str
    outcome: str  # RIGHT, WRONG, or CONTEXT where nothing has to come out

    @classmethod
    def of(cls, check: str, subject: str, *, expected: str, found: str, holds: bool) -> Finding:
        """A finding of which something is expected."""
        return cls(check, subject, expected, found, RIGHT if holds else WRONG)

    def row(self) -> dict[str, str]:
        """The finding as a row of a table."""
        return asdict(self)


def run_selftest(
    folder: Path | None = None, *, seeds: int = 4, progress: bool = False
) -> Iterator[Finding]:
    """Findings as they come: in seconds without a folder; with one also those of trained networks.

    Args:
        folder: where networks are trained, which are kept, and not trained again.
        seeds: networks of each kind.
        progress: show bars on stderr while they are trained.

    Raises:
        ValueError: fewer than two seeds.
    """
    from hf_repsim.selftest.listening import LISTENING
    from hf_repsim.selftest.synthetic import SYNTHETIC

    if seeds < 2:
        raise ValueError(f"layers are identified across seeds, so two are needed, not {seeds}")
    checks: Sequence[Callable[[], Iterator[Finding]]] = (*SYNTHETIC, *LISTENING)
    for check in checks:
        yield from check()
    if folder is not None:
        from hf_repsim.selftest.seeds import of_trained_networks

        yield from of_trained_networks(folder, n_seeds=seeds, progress=progress)


def as_text(findings: Sequence[Finding]) -> str:
    """All findings for a terminal, check by check."""
    parts = []
    for check in dict.fromkeys(finding.check for finding in findings):
        own = [one for one in findings if one.check == check]
        rows = [(one.subject, one.outcome, one.expected, one.found) for one in own]
        parts.append(f"{check}\n{aligned([('of', '', 'expected', 'found'), *rows])}")
    return "\n\n".join(parts)


def write_page(findings: Sequence[Finding], folder: Path) -> Path:
    """Write one page, in Markdown, of all findings; returns its path."""
    wrong = sum(finding.outcome == WRONG for finding in findings)
    asked = sum(finding.outcome != CONTEXT for finding in findings)
    told = ", ".join(f"{name} {version}" for name, version in versions().items() if version)
    lines = [
        "# Self-test",
        "",
        f"{asked - wrong} of {asked} checks are as expected. {plain(now())}; {plain(told)}.",
    ]
    for check in dict.fromkeys(finding.check for finding in findings):
        lines += ["", f"## {plain(check)}", "", "| of | expected | found | |", "|---|---|---|---|"]
        lines += [
            f"| {code(one.subject)} | {plain(one.expected)} | {plain(one.found)} | {one.outcome} |"
            for one in findings
            if one.check == check
        ]
    path = folder / PAGE
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
