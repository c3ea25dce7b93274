"""Writes core.lock, engines.lock and dev.lock: names, versions and hashes of everything the project installs.

Needs `uv` on the PATH; run it as `make lock`.  torch and the packages of its GPU builds are left out, since each machine
has its own build of them: the Makefile installs the version named in TORCH.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TORCH = "torch==2.13.0"
PER_MACHINE = re.compile(r"(torch|triton|nvidia-|cuda-)")
FLAGS = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url",
         "--no-emit-find-links"]


def compiled(*arguments: str) -> str:
    command = ["uv", "pip", "compile", "pyproject.toml", *FLAGS, *arguments]
    return subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True).stdout


def blocks(lock: str) -> list[str]:
    """One block a requirement: its line and the hash lines that belong to it."""
    return re.split(r"\n(?=[A-Za-z0-9])", lock.strip())


def main() -> int:
    core = HERE / "core.lock"
    core.write_text(compiled())
    stores = ("--extra=dataflow", "--extra=s3", f"--constraint={core}")
    (HERE / "engines.lock").write_text(compiled(*stores))
    torch = HERE / "torch.txt"
    torch.write_text(TORCH + "\n")
    everything = compiled(*stores, "--extra=train", "--extra=dev", f"--constraint={torch}")
    (HERE / "dev.lock").write_text("\n".join(block for block in blocks(everything) if not PER_MACHINE.match(block)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
