"""The command: measure both sides, write the table.

python -m benchmarks [--only post,batch,...] [--quick] [--output DIRECTORY] [--ours COMMAND]
"""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import batch, console, get, machine, memory, post, report, sse, start, verify, wrk
from benchmarks.bench import FULL, QUICK, Bench, Measurement, say
from benchmarks.http_client import UnexpectedAnswerError
from benchmarks.poster import PostError
from benchmarks.servers import PEER_VERSION, ServerError, Sides, make_peer_venv

ROOT = Path(__file__).parent.parent
OURS = [sys.executable, "-m", "audit_daemon"]
MEASUREMENTS: dict[str, Measurement] = {  # the ones on empty stores first: the large peer takes gigabytes
    "post": post.measure,
    "batch": batch.measure,
    "sse": sse.measure,
    "memory": memory.measure,
    "get": get.measure,
    "verify": verify.measure,
    "start": start.measure,
    "console": console.measure,
}
FAILURES = (
    wrk.WrkError,
    ServerError,
    PostError,
    UnexpectedAnswerError,
    sse.SubscribersError,
    console.ConsoleError,
    OSError,
)
FULL_SCALE = "Full scale."
QUICK_SCALE = "**A smoke test at a twentieth of the scale: these figures mean nothing.**"


def main() -> int:
    """Exit code: 0 when everything that was asked for was measured, whether or not targets were reached."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
    make = ROOT / ".make"
    work = make / "bench"
    work.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=work))
    try:
        wrk.require()
        sides = Sides(ours=options.ours, peer_venv=make_peer_venv(make / "peer-venv"), work=directory)
        trial = options.quick or options.ours != OURS  # such figures must not mix with the real ones
        output = options.output or (work / "trial" if trial else ROOT / "benchmarks")
        return _run(sides, options.only, output, quick=options.quick, keep=not trial)
    except wrk.WrkError as failure:
        say(str(failure))
        return 2
    finally:
        shutil.rmtree(directory)


def _run(sides: Sides, names: list[str], output: Path, *, quick: bool, keep: bool) -> int:
    facts = machine.describe(sides.work, sides.peer_python)
    results = report.Results(machine=facts)
    if keep:
        results = report.read(output / "results.json", facts, same=machine.SAME_MACHINE)
    for name in names:  # one that fails below must not keep figures of an earlier run
        results.entries.pop(name, None)
    bench = Bench(sides, QUICK if quick else FULL)
    failed = []
    try:
        for name in names:
            try:
                section = MEASUREMENTS[name](bench)
            except FAILURES as failure:
                say(f"{name} failed: {failure}")
                failed.append(name)
                continue
            now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            results.entries[name] = report.Entry(section=section, measured_at=now, commit=machine.commit(ROOT))
            page = report.write(results, output, order=list(MEASUREMENTS), scale=QUICK_SCALE if quick else FULL_SCALE)
            say(f"{name}: written to {page}")
    finally:
        bench.close()
    print(report.markdown(results, order=names, scale=QUICK_SCALE if quick else FULL_SCALE))
    if failed:
        say(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure this daemon side by side with audit-stream {PEER_VERSION}; writes benchmarks/RESULTS.md.",
    )
    parser.add_argument(
        "--only", type=_names, default=list(MEASUREMENTS), metavar="NAME,...", help=f"of {', '.join(MEASUREMENTS)}"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test, under two minutes, written to .make/bench/trial"
    )
    parser.add_argument("--output", type=Path, help="where to write RESULTS.md and results.json")
    parser.add_argument(
        "--ours",
        type=shlex.split,
        default=OURS,
        metavar="COMMAND",
        help="starts our daemon; --host, --port and --db are appended (default: %(default)s)",
    )
    return parser.parse_args()


def _names(text: str) -> list[str]:
    asked = text.split(",")
    unknown = [name for name in asked if name not in MEASUREMENTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return [name for name in MEASUREMENTS if name in asked]


if __name__ == "__main__":
    sys.exit(main())
