"""Write src/lookalike/collection/index/scale.json and docs/benchmarks/scale.md from the results of `lookalike bench run scale`.

python tools/build_scale.py benchmarks/results/scale
"""

from __future__ import annotations

import sys
from pathlib import Path

from lookalike.cli.bench import find_benchmarks
from lookalike.errors import LookalikeError

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/build_scale.py FOLDER (where results.jsonl is)")
    find_benchmarks()
    from lookalike_bench.experiments.advising import write_scale

    table, page = ROOT / "src/lookalike/collection/index/scale.json", ROOT / "docs/benchmarks/scale.md"
    try:
        write_scale(Path(sys.argv[1]) / "results.jsonl", table, page)
    except LookalikeError as error:
        sys.exit(str(error))
    for path in (table, page):
        print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
