"""Every kind of user against the real service."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.load_commands import app
from loadtest.plan import Protocol
from loadtest.samples import load
from tests.support.stack import Stack


def test_every_user_is_answered_and_the_stages_of_the_way_are_seen(stack: Stack, tmp_path: Path) -> None:
    triton = f"http://127.0.0.1:{stack.triton_port}"
    users = ",".join(Protocol)
    done = CliRunner().invoke(
        app,
        [f"grpc://{stack.grpc}", stack.url, "--users", users, "--mix", "small=0.9,bad=0.1", "--rate", "25",
         "--for", "3s", "--warm-up", "1s", "--priority", "batch", "--timeout", "20", "--triton", triton,
         "--out", str(tmp_path), "--json"],
    )  # fmt: skip
    told = json.loads(done.stdout)
    samples = load(tmp_path)
    assert told["summary"]["by_kind"]["small"]["outcomes"] == {"ok": told["summary"]["by_kind"]["small"]["photos"]}
    assert "ok" not in told["summary"]["by_kind"]["bad"]["outcomes"]
    for protocol in Protocol:
        its = samples.where((samples.user == protocol.value) & samples.ok)
        assert len(its), protocol
        assert (its.stages["classify"] > 0).all(), protocol
        assert (its.stages["model"] > its.stages["classify"]).all(), protocol
    assert {"edge and wire", "decode", "classify"} <= told["summary"]["where_ms"].keys()
    assert told["server"]["gateway_stages_ms"]["journal"] > 0
    assert sum(int(size) * number for size, number in told["server"]["batches"].items()) >= samples.ok.sum()
    answered = next(one for one in told["verdict"]["objectives"] if one["slo"] == "answered")
    assert answered["outcome"] == "PASS"
    latency = next(one for one in told["verdict"]["objectives"] if one["slo"] == "interactive-latency")
    assert latency["outcome"] == "UNJUDGED", "a batch is not what it is about"
    assert done.exit_code in (1, 4)
