"""A class: every file of a folder is an answer; a table of all points (CSV) on standard output.

    python grade.py answers/*.fth --jobs 4 > points.csv
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 600
"""Of the host, for an answer that keeps even the emulator busy; budgets of instructions end all others."""


def grade(answer: Path) -> dict:
    """The points of one answer; none where the tests could not be run."""
    with tempfile.TemporaryDirectory() as folder:
        score = Path(folder, "score.json")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={HERE}", str(HERE),
                   "--answer", str(answer.resolve()), "--score", str(score), "--sun4v-failures", folder]  # fmt: skip
        try:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False)
            return json.loads(score.read_text())
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return {"score": 0, "of": 0, "tests": {}}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    with ThreadPoolExecutor(options.jobs) as pool:
        found = list(pool.map(grade, options.answers))
    names = sorted({name for row in found for name in row["tests"]})
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["answer", "score", "of", *names])
    for answer, row in zip(options.answers, found, strict=True):
        table.writerow([answer.stem, row["score"], row["of"], *(row["tests"].get(name, 0) for name in names)])


if __name__ == "__main__":
    main()
