"""From measured rounds to `RESULTS.md`: medians, ranges, ratios and whether each target was reached."""

from pathlib import Path
from statistics import median

import msgspec

_LIMITS = Path(__file__).with_name("LIMITS.md")
"""What limits the figures that are missed: written by hand, so that it is read again with each run."""

HEADER = "| Measured | Unit | This daemon | 0.1.0 | Ratio | Target | Reached |\n|---|---|---|---|---|---|---|\n"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity, one value a round; rounds of both sides alternated, so the n-th values belong together.

    The ratio says how many times better ours is. At most one target is set: for the ratio, or for our own value.
    """

    name: str
    unit: str
    ours: list[float]
    peer: list[float] = []
    higher_is_better: bool = True
    ratio_target: float | None = None
    min_target: float | None = None
    max_target: float | None = None

    @property
    def ratios(self) -> list[float]:
        """One ratio a round, or the one of the medians where the sides ran different numbers of rounds."""
        pairs = list(zip(self.ours, self.peer, strict=True)) if len(self.ours) == len(self.peer) else []
        if self.peer and not pairs:
            pairs = [(median(self.ours), median(self.peer))]
        if not all(ours and peer for ours, peer in pairs):
            return []
        return [ours / peer if self.higher_is_better else peer / ours for ours, peer in pairs]

    @property
    def target(self) -> str:
        """The target in words, empty without one."""
        if self.ratio_target is not None:
            return "no worse" if self.ratio_target == 1 else f"≥ {self.ratio_target:g}x"
        if self.min_target is not None:
            return f"≥ {_number(self.min_target)}"
        return "" if self.max_target is None else f"≤ {_number(self.max_target)}"

    @property
    def reached(self) -> bool | None:
        """Whether the median reached the target; None without one."""
        if self.ratio_target is not None:
            return bool(self.ratios) and median(self.ratios) >= self.ratio_target
        if self.min_target is not None:
            return median(self.ours) >= self.min_target
        return None if self.max_target is None else median(self.ours) <= self.max_target


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one measurement gave; `notes` say what a reader must know to judge the rows."""

    title: str
    rows: list[Row]
    notes: list[str] = []


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A section and the circumstances of its run."""

    section: Section
    measured_at: str
    commit: str


class Results(msgspec.Struct, kw_only=True):
    """All sections measured on one machine, by the measurement's name."""

    machine: dict[str, str]
    entries: dict[str, Entry] = {}


def read(path: Path, machine: dict[str, str], *, same: tuple[str, ...]) -> Results:
    """Earlier results, to which those of a partial run are added; none if one of the `same` facts has changed."""
    if path.exists():
        earlier = msgspec.json.decode(path.read_bytes(), type=Results)
        if all(earlier.machine.get(fact) == machine.get(fact) for fact in same):
            return Results(machine=machine, entries=earlier.entries)
    return Results(machine=machine)


def write(results: Results, directory: Path, *, order: list[str], scale: str) -> Path:
    """Write `results.json` (every round) and `RESULTS.md` (made from it); returns the latter's path."""
    directory.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.encode(results)
    (directory / "results.json").write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")
    path = directory / "RESULTS.md"
    path.write_text(markdown(results, order=order, scale=scale), encoding="utf-8")
    return path


def markdown(results: Results, *, order: list[str], scale: str) -> str:
    """The page: the machine, then a table and notes for each section."""
    facts = "".join(f"| {name} | {value} |\n" for name, value in results.machine.items())
    shown = [results.entries[name].section for name in order if name in results.entries]
    judged = [row for section in shown for row in section.rows if row.reached is not None]
    missed = [f"- {section.title}: {row.name}\n" for section in shown for row in section.rows if row.reached is False]
    sections = [_section(results.entries[name]) for name in order if name in results.entries]
    return (
        "# Measured against audit-stream 0.1.0\n\n"
        "Written by `python -m benchmarks`; method in [README.md](README.md), every round in "
        "[results.json](results.json). Ours writes to disk before it answers; 0.1.0 keeps a list in memory. Both ran "
        "side by side in one run, in turn, with the load on the same machine. Values are medians over rounds "
        f"(lowest to highest); a ratio above 1 means ours is better.\n\n{scale}\n\n"
        f"| Machine and versions | |\n|---|---|\n{facts}\n"
        f"{len(judged) - len(missed)} of {len(judged)} targets reached{'; missed:' if missed else '.'}\n\n"
        + "".join(missed)
        + f"\n{_LIMITS.read_text(encoding='utf-8')}"
        + "\n"
        + "\n".join(sections)
    )


def _section(entry: Entry) -> str:
    rows = "".join(_row(row) for row in entry.section.rows)
    notes = "".join(f"- {note}\n" for note in entry.section.notes)
    return f"## {entry.section.title}\n\n{HEADER}{rows}\n{notes}- Measured {entry.measured_at}, at {entry.commit}.\n"


def _row(row: Row) -> str:
    reached = {True: "yes", False: "**no**", None: ""}[row.reached]
    measured = [_spread(row.ours), _spread(row.peer), _spread(row.ratios, "x")]
    return f"| {' | '.join([row.name, row.unit, *measured, row.target, reached])} |\n"


def _spread(values: list[float], suffix: str = "") -> str:
    if not values:
        return ""
    lowest, middle, highest = (_number(value) for value in (min(values), median(values), max(values)))
    return f"{middle}{suffix}" + (f" ({lowest} to {highest})" if lowest != highest else "")


def _number(value: float) -> str:
    """Two to four digits below 100, whole numbers above."""
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:{'.4g' if value > 10 else '.3g'}}" if value >= 0.01 else f"{value:.2g}"
