"""A campaign: the same program, many seeds; one line of JSON for each run, in the order of the seeds.

    python campaign.py --seeds 1-1000 --jobs 4 > results.jsonl
    python campaign.py --replay 17             # the run of one seed again, with a trace and all that it wrote

What is run: labos writes a pattern to a disk whose requests fail as plan.toml says, and looks what is there. A run is
`masked` where all is as it should be, `told` where the guest heard of an error, `silent` where the data are wrong and
nobody said so, `hang` where it did not come to its end.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
LABOS = HERE.parents[2] / "images" / "prebuilt" / "labos.elf"
PIECES = range(0, 64, 8)
SCRIPT = "".join([*(f"write c0d0 {at} pattern 8\n" for at in PIECES), *(f"verify c0d0 {at} 8\n" for at in PIECES),
                  "halt\n"])
BUDGET = "2G"


def command(seed: int, disk: Path, *more: str) -> list[str]:
    """`sun4v run`: virtual time, so that a seed is a run."""
    return ["sun4v", "run", "--deterministic", "--stats", "--max-insns", BUDGET, "--memory", "64M",
            "--faults", str(HERE / "plan.toml"), "--seed", str(seed), "--disk", f"{disk},cow",
            "--input-after", "\n# ", *more, str(LABOS)]  # fmt: skip


def classify(status: int, said: str) -> str:
    """What became of a run."""
    if status != 0:
        return "hang" if status == 124 else "died"
    whole = all(f"8 blocks from {at} are the pattern" in said for at in PIECES)
    if said.count("blocks written at") < len(PIECES):
        return "told"
    return "masked" if whole else "silent"


def run(seed: int, *more: str) -> dict:
    """One run as a line of the result."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder, "disk.img")
        disk.write_bytes(bytes(1 << 20))
        done = subprocess.run(command(seed, disk, *more), input=SCRIPT, capture_output=True, text=True, check=False)
    told = json.loads(done.stderr.splitlines()[-1])
    return {"seed": seed, "result": classify(done.returncode, done.stdout), "status": done.returncode,
            "instructions": told["instructions"], "faults": told["faults"]["count"],
            "firings": [[row["at_ns"], row["point"], row["action"]] for row in told["faults"]["firings"]],
            "digest": told["digest"], "console": done.stdout}  # fmt: skip


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-10", help="FIRST-LAST")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--replay", type=int, metavar="SEED")
    options = parser.parse_args()
    if options.replay is not None:
        found = run(options.replay, f"--trace=seed-{options.replay}.json")
        print(found.pop("console").replace("\r", ""), file=sys.stderr)
        print(json.dumps(found))
        return
    first, last = map(int, options.seeds.split("-"))
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(run, range(first, last + 1)):
            del found["console"]
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
