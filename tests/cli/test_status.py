from __future__ import annotations

import json


def test_ready_is_exit_0(bestiary, stub):
    done = bestiary("status", "--url", stub.url)
    assert done.returncode == 0, done.stderr
    assert f"{stub.url} is ready" in done.stdout


def test_not_ready_is_exit_1_with_the_reason(bestiary, stub):
    stub.ready = False
    done = bestiary("status", "--url", stub.url)
    assert done.returncode == 1
    assert "is not ready" in done.stdout
    assert "restarting" in done.stdout


def test_json_says_the_same(bestiary, stub):
    stub.ready = False
    done = bestiary("status", "--json", "--url", stub.url)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "url": stub.url,
        "live": True,
        "ready": False,
        "checks": {"triton": "restarting", "gateway": "ok"},
    }


def test_nobody_there_is_exit_3(bestiary, silent_stub):
    done = bestiary("status", "--json", "--url", silent_stub.url)
    assert done.returncode == 3
    assert json.loads(done.stdout)["live"] is False
    assert "No Bestiary answers" in done.stderr


def test_another_server_is_no_bestiary(bestiary, stub):
    done = bestiary("status", "--url", f"{stub.url}/elsewhere")
    assert done.returncode == 3
