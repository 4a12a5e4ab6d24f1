"""NVIDIA's ``perf_analyzer``: where the binary comes from, how it is run, what its report says.

The binary is in an old wheel of ``tritonclient`` and needs two libraries that may not be installed. All
three are downloaded with the machine's own package tools and unpacked into a folder; nothing is installed.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

BINARY_ENV: Final = "PERF_ANALYZER"
"""Environment variable with the path of a ``perf_analyzer`` that is already there."""

WHEELS: Final = {
    "tritonclient==2.44.0": "tritonclient-2.44.0.data/data/bin/perf_analyzer",
    "nvidia-cuda-runtime-cu12": "nvidia/cuda_runtime/lib/libcudart.so.12",
}
"""Requirement -> the one member of its wheel that is needed. Later tritonclients carry no binary."""

DEBIAN_PACKAGE: Final = "libb64-0d"
NO_PARAMETERS: Final[Mapping[str, str | int]] = {}
WINDOWS: Final = 3
"""perf_analyzer measures at least this many windows and reports them merged."""


class PerfAnalyzerError(RuntimeError):
    """It could not be got or did not run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run: answered photos per second, and client-side latency in milliseconds."""

    photos_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class PerfAnalyzer:
    """A binary that can be run, and the libraries that only it is given."""

    binary: Path
    library_path: str = ""

    def run(
        self,
        address: str,
        model: str,
        input_data: Path,
        *,
        seconds: float,
        concurrency: int,
        parameters: Mapping[str, str | int] = NO_PARAMETERS,
        on_load: Callable[[int], None] = lambda pid: None,
    ) -> tuple[Report, float]:
        """Keep ``concurrency`` requests with the same ``parameters`` in flight over gRPC for about ``seconds``.

        ``on_load`` is called with the process id when the input has been read and the load is about to begin.
        Returns the report and the CPU seconds of the whole process. Raises PerfAnalyzerError if any request failed.
        """
        report = input_data.with_suffix(".csv")
        process = subprocess.Popen(
            [self.binary, *_arguments(address, model, input_data, seconds, concurrency), *_sent(parameters),
             "-f", report],
            env={**os.environ, "LD_LIBRARY_PATH": self.library_path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None  # asked for above
        try:
            said = _listen(process.stdout, lambda: on_load(process.pid))
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise PerfAnalyzerError(f"perf_analyzer ended with {process.returncode}: " + " ".join(said[-4:]))
        return parse_report(report.read_text()), usage.ru_utime + usage.ru_stime


def _arguments(address: str, model: str, input_data: Path, seconds: float, concurrency: int) -> list[str]:
    window_ms = max(500, round(1e3 * seconds / WINDOWS))
    return [
        "-m", model, "-i", "grpc", "-u", address, "--input-data", str(input_data),
        "--concurrency-range", str(concurrency),
        # One asynchronous thread: with more, each goes through the photos from the first on by itself, and
        # the same photo is in flight several times.
        "--async", "--max-threads", "1",
        # Exactly three windows of a fixed time, so that every run does equally long. Whether it was stable
        # is judged by comparing rounds, not by repeating windows until three happen to agree.
        "--measurement-mode", "time_windows", "--measurement-interval", str(window_ms),
        "--stability-percentage", "999", "--max-trials", str(WINDOWS),
    ]  # fmt: skip


def _sent(parameters: Mapping[str, str | int]) -> Iterator[str]:
    for name, value in parameters.items():
        yield from ("--request-parameter", f"{name}:{value}:{'string' if isinstance(value, str) else 'int'}")


def _listen(output: IO[str], on_load: Callable[[], None]) -> list[str]:
    said = []
    for line in output:
        if line.startswith("Request concurrency:"):
            on_load()
        if line.strip():
            said.append(line.strip())
    return said


def parse_report(text: str) -> Report:
    """The figures in a report of one concurrency (``-f``, CSV; latencies are in microseconds there).

    Raises PerfAnalyzerError if it has no line or other columns.
    """
    rows = list(csv.DictReader(text.splitlines()))
    if len(rows) != 1:
        raise PerfAnalyzerError(f"perf_analyzer's report has {len(rows)} lines instead of one.")
    try:
        latencies = [float(rows[0][f"p{percent} latency"]) / 1e3 for percent in (50, 95, 99)]
        return Report(float(rows[0]["Inferences/Second"]), *latencies)
    except (KeyError, TypeError, ValueError) as error:
        raise PerfAnalyzerError(f"perf_analyzer's report has other columns than expected: {error!r}.") from None


def obtain(given: Path | None, folder: Path) -> PerfAnalyzer:
    """A binary that runs: ``given``, that of the environment, or one unpacked below ``folder``.

    Raises PerfAnalyzerError.
    """
    chosen = given or (Path(os.environ[BINARY_ENV]) if os.environ.get(BINARY_ENV) else None)
    if chosen is not None:
        found = PerfAnalyzer(chosen, os.environ.get("LD_LIBRARY_PATH", ""))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        binary, cuda = (_from_wheel(requirement, member, folder) for requirement, member in WHEELS.items())
        binary.chmod(0o755)
        libraries = [cuda.parent, *_libb64(folder)]
        found = PerfAnalyzer(binary, os.pathsep.join(map(str, libraries)))
    _check(found)
    return found


def _check(found: PerfAnalyzer) -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": found.library_path}
    try:
        done = subprocess.run([found.binary, "--version"], env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PerfAnalyzerError(f"{found.binary} cannot be run ({error.strerror}): see {BINARY_ENV}.") from None
    if "libb64" in done.stderr:
        raise PerfAnalyzerError(f"perf_analyzer needs libb64.so.0d: run `apt-get install {DEBIAN_PACKAGE}`.")
    if done.returncode != 0:
        raise PerfAnalyzerError(f"{found.binary} does not run here: {(done.stderr or done.stdout).strip()[:300]}")


def _from_wheel(requirement: str, member: str, folder: Path) -> Path:
    target = folder / member
    if target.exists():
        return target
    arguments = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder / "wheels")]
    done = _ask([sys.executable, "-m", "pip", *arguments, requirement], folder)
    if done is not None:
        raise PerfAnalyzerError(f"{requirement}, which carries {Path(member).name}, cannot be downloaded: {done}")
    name = requirement.partition("==")[0].replace("-", "_")
    with zipfile.ZipFile(next((folder / "wheels").glob(f"{name}-*.whl"))) as wheel:
        wheel.extract(member, folder)
    return target


def _libb64(folder: Path) -> list[Path]:
    """Folders with ``libb64.so.0d`` from Debian's package; none if it cannot be had, then it may be installed."""
    unpacked = folder / "debian"
    if not unpacked.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        if _ask(["apt-get", "download", DEBIAN_PACKAGE], folder) is not None:
            return []
        package = next(folder.glob(f"{DEBIAN_PACKAGE}_*.deb"))
        _ask(["dpkg", "-x", str(package), str(unpacked)], folder)
    return sorted({path.parent for path in unpacked.rglob("libb64.so*")})


def _ask(command: list[str], folder: Path) -> str | None:
    """Run a package tool in ``folder``: None if it went well, else the last line of its complaint."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
