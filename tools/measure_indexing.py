"""Measure how many pictures a second are embedded, against a plain loop in the same run.

    python tools/measure_indexing.py                      the starter pictures
    python tools/measure_indexing.py --folder PICTURES    any folder
    python tools/measure_indexing.py --limit 1000         an even choice of that many

The plain loop is what one writes first: for each file Pillow's open, convert, resize, and the same model with batches
of one. It is run twice, with ONNX Runtime as it comes, which uses every core for each picture, and kept to one core.
lookalike runs last, so that it finds no warmer a file cache than the loops. Rates count the pictures that were
embedded; files that a loop cannot read are left out of its count. Each way runs in a process of its own, whose peak of
memory and time on the processors are measured; the latter tells more where other work runs on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.data.datasets import starter_folder
from lookalike.data.walk import Found, walk
from lookalike.features.embedder import Embedded, Embedder, default_threads
from lookalike.features.images import MAX_PIXELS, SUFFIXES
from lookalike.features.models import get_model, load_model

WAYS = ("plain", "plain on one core", "lookalike on one core", "lookalike")


def pictures(folder: Path, limit: int | None) -> list[Path]:
    found = [entry.path for entry in walk(folder, SUFFIXES) if isinstance(entry, Found)]
    if limit is None or limit >= len(found):
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, limit).astype(int)]


def plain(paths: list[Path], threads: int) -> int:
    """The loop that one writes first; how many pictures it embedded."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    from PIL import Image, UnidentifiedImageError

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses from twice as many on
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(load_model(get_model("efficientnet-lite0")), options)
    done = 0
    for path in paths:
        try:
            with Image.open(path) as picture:
                square = picture.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            continue
        (vector,) = session.run(["avg"], {"image": np.asarray(square)[None]})
        done += bool(np.linalg.norm(vector) > 0)
    return done


def lookalike(paths: list[Path], threads: int | None) -> int:
    return sum(isinstance(result, Embedded) for _, result in Embedder(threads=threads).stream(paths))


def measure(way: str, paths: list[Path]) -> dict[str, Any]:
    """Run one way in this process."""
    start, cpu = time.perf_counter(), time.process_time()
    threads = 1 if way.endswith("one core") else 0
    done = plain(paths, threads) if way.startswith("plain") else lookalike(paths, threads or None)
    return {
        "pictures": done,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak_memory() >> 20,
    }


def peak_memory() -> int:
    """Of this process, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure pictures a second, against a plain loop.")
    parser.add_argument("--folder", type=Path, help="of pictures (default: the starter pictures)")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = options.folder or starter_folder()
    paths = pictures(folder, options.limit)
    if options.way:
        print(json.dumps(measure(options.way, paths)))
        return 0
    for path in paths:  # so that every way finds the files in the cache
        path.read_bytes()
    print(f"{len(paths)} pictures, {default_threads()} cores\n")
    print("| way | pictures | seconds | pictures a second | pictures a core-second | peak MB |")
    print("|---|---|---|---|---|---|")
    rates = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
        command += ["--limit", str(options.limit)] if options.limit else []
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        done, seconds = result["pictures"], result["seconds"]
        rates[way] = done / seconds
        each = f"{rates[way]:.1f} | {done / result['cpu_seconds']:.1f} | {result['peak_mb']}"
        print(f"| {way} | {done} | {seconds:.1f} | {each} |", flush=True)
    print(f"\nlookalike / plain: {rates['lookalike'] / rates['plain']:.2f}")
    print(f"lookalike / plain on one core: {rates['lookalike'] / rates['plain on one core']:.2f}")
    print(f"on one core: lookalike / plain: {rates['lookalike on one core'] / rates['plain on one core']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
