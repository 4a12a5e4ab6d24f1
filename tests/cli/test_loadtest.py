"""``bestiary loadtest`` against a stand-in that can stall."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from click import unstyle
from click.testing import Result
from typer.testing import CliRunner

from cli.load_commands import app
from tests.support.certificates import Authority
from tests.support.loopback_tls import server_context
from tests.support.stack import ROOT, free_ports
from tests.support.stalling import Stall, stalling_grpc, stalling_http

QUICK = ("--warm-up", "0s", "--for", "1.5s", "--rate", "40")


def loadtest(*arguments: str | Path, **environment: str) -> Result:
    """The command in this process, with its generator in another, as always."""
    return CliRunner(env={"COLUMNS": "200", **environment}).invoke(app, [*map(str, arguments)])


def lenient_slo(folder: Path) -> Path:
    """The objectives with a latency that a busy machine keeps, too."""
    file = folder / "slo.yaml"
    file.write_text((ROOT / "deploy" / "slo" / "bestiary.yaml").read_text().replace('"value": 0.25', '"value": 20'))
    return file


def test_workers_share_a_run_that_is_judged_kept_and_compared(tmp_path: Path) -> None:
    stall = Stall()
    with stalling_http(stall) as target:
        done = loadtest(
            "run", target, *QUICK, "--mix", "small=0.8,bad=0.2", "--users", "http", "--workers", "2",
            "--slo", lenient_slo(tmp_path), "--out", tmp_path / "a", "--json", BESTIARY_API_KEY="a-key",
        )  # fmt: skip
    told = json.loads(done.stdout)
    assert done.exit_code == (0 if told["verdict"]["valid"] else 4), done.output  # 4 on a machine too busy to say
    assert [one["outcome"] for one in told["verdict"]["objectives"]] == ["PASS", "PASS"]
    assert told["summary"]["planned"] == len(stall.photos) == pytest.approx(60, abs=30)
    assert told["summary"]["generator"]["workers"] == 2
    assert told["summary"]["by_kind"]["bad"]["outcomes"]["not_an_image"] > 0
    assert told["summary"]["by_kind"]["small"]["outcomes"] == {"ok": told["summary"]["by_kind"]["small"]["photos"]}
    assert stall.credentials == {"a-key"}
    assert b"" in stall.photos, "an empty photo stays empty"
    for file in (tmp_path / "a").iterdir():
        assert b"a-key" not in file.read_bytes()

    page = tmp_path / "both.html"
    compared = loadtest("compare", tmp_path / "a", tmp_path / "a", "--out", page)
    assert compared.exit_code == 0, compared.output
    assert "p99" in compared.stdout
    assert "<svg" in page.read_text()


def test_a_broken_objective_is_exit_1_and_stands_in_the_table() -> None:
    with stalling_grpc(Stall(at=10, seconds=1.0)) as target:
        done = loadtest(target, *QUICK, "--closed", "2")
    assert done.exit_code in (1, 4), done.output  # 4 on a machine too busy to say
    assert ("INVALID" in done.stdout) == (done.exit_code == 4)
    words = " ".join(done.stdout.split())
    assert "interactive-latency p99 <= 250 ms FAIL" in words
    assert "answered answered PASS" in words
    assert "closed loop, 2 callers" in words


@pytest.mark.long
def test_a_generator_that_cannot_keep_up_is_exit_4(tmp_path: Path) -> None:
    """More would be under way than it may have."""
    with stalling_grpc(Stall(at=1, seconds=3.0)) as target:
        done = loadtest(target, "--warm-up", "0s", "--for", "1s", "--rate", "1300", "--slo", lenient_slo(tmp_path))
    assert done.exit_code == 4, done.output
    assert "INVALID" in done.stdout
    assert "not sent" in done.stdout or "late" in done.stdout  # on a busy machine it is late before there are so many


@pytest.mark.long
def test_tls_is_checked_against_the_given_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    over_grpc = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    over_http = server_context(certificate, key)
    with stalling_grpc(Stall(), over_grpc) as first, stalling_http(Stall(), over_http) as second:
        given = (first, second, *QUICK, "--users", "grpc,http", "--slo", lenient_slo(tmp_path), "--json")
        trusted = json.loads(loadtest(*given, SSL_CERT_FILE=str(authority.file)).stdout)
        strange = json.loads(loadtest(*given, "--timeout", "2").stdout)
    assert trusted["summary"]["outcomes"].keys() == {"ok"}
    assert "ok" not in strange["summary"]["outcomes"]


@pytest.mark.long
def test_the_highest_rate_is_searched(tmp_path: Path) -> None:
    with stalling_grpc(Stall()) as target:
        done = loadtest(target, "--warm-up", "0s", "--for", "0.5s", "--rate", "20", "--find-max", "--max-runs", "1",
                        "--slo", lenient_slo(tmp_path), "--json")  # fmt: skip
    found = json.loads(done.stdout)
    assert [one["rate"] for one in found["runs"]] == [20, 20]
    if found["limited_by_generator"]:  # on a machine too busy to say
        assert done.exit_code == 4
        return
    assert done.exit_code == 0, done.output
    assert found["rate"] == 20
    assert found["not_met_at"] is None
    assert "20.0/s: met" in done.stderr


def test_nobody_there_is_exit_3() -> None:
    done = loadtest(f"grpc://127.0.0.1:{free_ports(1)}", *QUICK)
    assert done.exit_code == 3
    assert "Nobody answers" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ftp://somewhere",), "no target"),
        (("http://127.0.0.1:1", "--users", "grpc"), "need a target like grpc"),
        (("grpc://127.0.0.1:1", "--mix", "large"), "small=0.8"),
        (("grpc://127.0.0.1:1", "--for", "soon"), "no time"),
        (("grpc://127.0.0.1:1", "--arrivals", "replay"), "--trace"),
        (("grpc://127.0.0.1:1", "--arrivals", "ramp", "--find-max", "--to", "9"), "--find-max"),
        (("grpc://10.0.0.1:1", "--api-key", "k"), "only sent by https"),
        (("compare", "nowhere", "nowhere"), "holds no load test"),
        (("worker", "somewhere"), "HOST:PORT"),
    ],
)
def test_wrong_usage_is_exit_2_with_what_to_do(arguments: tuple[str, ...], sentence: str) -> None:
    done = loadtest(*arguments)
    assert done.exit_code == 2
    assert sentence in " ".join(unstyle(done.output).replace("│", " ").split())
