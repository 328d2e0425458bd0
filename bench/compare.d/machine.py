"""Where it was measured: what a reader needs to judge the figures."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from sides import ROOT, Side

_BUSY = 0.3  # of the processors, by others, before a run


def workers() -> int:
    """All cores: the processors that this process may use."""
    return len(os.sched_getaffinity(0))


def load() -> float:
    return os.getloadavg()[0]


def busy() -> bool:
    return load() > _BUSY * workers()


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _cpu() -> str:
    """Some machines don't name it."""
    return _field("/proc/cpuinfo", "model name") or platform.machine()


# What the figures depend on; a commit of results alone makes no other weft.
_SOURCES = ("include", "lib", "bench/peers")


def _weft() -> str:
    commit = _output("git", "log", "-1", "--format=%h", "--", *_SOURCES)
    changed = " with changes" if _output("git", "status", "--porcelain", "--", *_SOURCES) else ""
    return f"{commit}{changed}" or "of no commit"


def describe(sides: list[Side]) -> dict[str, object]:
    """What must be the same for two results to stand in one table."""
    return {
        "cpu": f"{_cpu()}, {workers()} of {os.cpu_count()} processors",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "compiler": _output(os.environ.get("CC", "cc"), "--version").splitlines()[0],
        "weft": _weft(),
        "versions": {side.name: side.version for side in sides if not side.missing},
        "missing": {side.name: side.missing for side in sides if side.missing},
    }
