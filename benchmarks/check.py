"""What `ajolo-fanout check` on `examples/tracing.toml` costs: a command that people run at every save.

Run: python benchmarks/check.py. Prints the CPU seconds of whole commands, interpreter included (the best of
the rounds, bytecode compiled before the first): the interpreter alone, importing the package, importing the
OpenTelemetry SDK, the check without and with rules to try; each as a multiple of the SDK's import. Then the
packages whose own code takes the largest share of the imports.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

ROUNDS = 7
TARGET = 0.4
"""CPU seconds that the check of the example may take."""

EXAMPLE = Path(__file__).parents[1] / "examples" / "tracing.toml"
CHECK = ("-m", "ajolo_fanout", "check", "--allow-unset")
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        [sys.executable, *arguments], env=dict(environ), capture_output=True, text=True, check=True
    )


def cpu(arguments: Sequence[str], environ: Mapping[str, str]) -> float:
    """CPU seconds of the command, the best of the rounds."""
    run(arguments, environ)  # compiles the bytecode
    times = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(arguments, environ)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def shares(arguments: Sequence[str], environ: Mapping[str, str]) -> Counter[str]:
    """Package -> microseconds that its own modules took to import; ours by room."""
    found = Counter[str]()
    for microseconds, module in _IMPORT.findall(
        run(("-X", "importtime", *arguments), environ).stderr,
    ):
        depth = 2 if module.startswith("ajolo_fanout.") else 1
        found[".".join(module.split(".")[:depth])] += int(microseconds)
    return found


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        ruleless = Path(folder) / "ruleless.toml"
        lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
        ruleless.write_text("\n".join(line for line in lines if "match =" not in line), encoding="utf-8")
        commands = {
            "python -c pass": ("-c", "pass"),
            "import ajolo_fanout": ("-c", "import ajolo_fanout"),
            "import opentelemetry.sdk.trace": ("-c", "import opentelemetry.sdk.trace"),
            "check, no rule to try": (*CHECK, str(ruleless)),
            "check": (*CHECK, str(EXAMPLE)),
        }
        times = {name: cpu(arguments, environ) for name, arguments in commands.items()}
        sdk = times["import opentelemetry.sdk.trace"]
        print(f"{'command':<32} {'CPU s':>7} {'x SDK import':>13}")
        for name, seconds in times.items():
            print(f"{name:<32} {seconds:7.3f} {seconds / sdk:13.2f}")
        print(f"\ncheck: {times['check']:.3f} s of CPU, target under {TARGET} s")
        found = shares(commands["check"], environ)
        total = sum(found.values())
        print(f"\n{'imports of check':<32} {'ms':>7} {'share':>13}")
        for name, microseconds in found.most_common(12):
            print(f"{name:<32} {microseconds / 1000:7.1f} {microseconds / total:13.0%}")


if __name__ == "__main__":
    main()
