"""`bestiary profile` against a real stack: stages and processor time add up to something, and misuse is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cli.processes import group_of, listener_of, spent_by
from tests.support.stack import ROOT, Stack, free_ports


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", "profile", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_it_says_where_time_and_processor_time_went(stack: Stack, cat: bytes, tmp_path: Path) -> None:
    photo = tmp_path / "cat.jpg"
    photo.write_bytes(cat)
    triton = f"http://127.0.0.1:{stack.triton_port}"
    done = run(str(photo), "--url", stack.url, "--seconds", "2", "--callers", "2", "--triton", triton, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    stages = {stage["name"]: stage["mean_ms"] for stage in result["stages"]}
    assert stages["as the caller sees it"] >= stages["total"] >= stages["triton"] >= stages["model"] > 0
    assert stages["decode"] > 0
    spent = {one["process"] for one in result["processes"]}
    assert {"gateway", "profile", "triton model animals"} <= {name.partition(".")[0] for name in spent}, spent
    assert sum(int(size) * count for size, count in result["batches"].items()) >= result["photos"]
    assert result["photos_per_s"] > 0


def test_the_listener_and_its_processes_are_found(stack: Stack) -> None:
    gateway = listener_of(stack.url)
    assert gateway is not None
    group = group_of(gateway)
    assert group[gateway] == "gateway"
    assert group[stack.process.pid] == "bestiary up"
    assert any(pid == gateway for pid, _ in spent_by(group))
    assert listener_of("http://192.0.2.1:80") is None


def test_nobody_there(tmp_path: Path) -> None:
    photo = tmp_path / "any.jpg"
    photo.write_bytes(b"x")
    done = run(str(photo), "--url", f"http://127.0.0.1:{free_ports(1)}", "--seconds", "1")
    assert done.returncode == 3
    assert "bestiary up" in done.stderr


def test_a_flame_graph_needs_py_spy(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    photo = tmp_path / "any.jpg"
    photo.write_bytes(b"x")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(str(photo), "--flame", str(tmp_path / "flame.svg"))
    assert done.returncode == 2
    assert "py-spy" in done.stderr
