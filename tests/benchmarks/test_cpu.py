"""CPU accounting from the text of /proc."""

from __future__ import annotations

import pytest

from benchmarks import cpu
from benchmarks.cpu import TICKS_PER_S, Process, ProcessesChanged

STUB_COMMAND = [
    "run/backends/python/triton_python_backend_stub", "/models/{model}/1/model.onnx", "bestiary-1-uuid",
    "1048576", "1048576", "30445", "run/backends/python", "336", "{model}_0_1", "DEFAULT",
]  # fmt: skip


def stat(name: str, user: int, system: int) -> str:
    return f"7 ({name}) S 1 7 7 0 -1 4194304 100 900 0 0 {user} {system} 55 66 20 0 4 0 1234 5678 90"


def test_user_and_system_time_are_added_and_those_of_dead_children_are_not() -> None:
    assert cpu.cpu_seconds(stat("python", 3 * TICKS_PER_S, TICKS_PER_S)) == 4.0


def test_a_process_may_be_called_anything() -> None:
    assert cpu.cpu_seconds(stat("a) b (c d", TICKS_PER_S, 0)) == 1.0


@pytest.mark.parametrize("model", ["classifier", "bird_expert_2"])
def test_a_stub_is_named_by_its_model(model: str) -> None:
    assert cpu.role_of([part.format(model=model) for part in STUB_COMMAND]) == f"stub {model}"


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (["/opt/bin/tritonserver", "--http-port=8000"], "tritonserver"),
        (["python", "-m", "gateway"], "gateway"),
        (["python", "-m", "cli", "up", "--data", "var"], "supervisor (bestiary up)"),
        (["/usr/bin/tool"], "tool"),
        ([""], "ended"),
    ],
)
def test_the_other_processes_are_named_by_their_command(command: list[str], role: str) -> None:
    assert cpu.role_of(command) == role


def test_instances_of_a_model_are_one_role() -> None:
    before = {Process(1, "stub animals"): 1.0, Process(2, "stub animals"): 2.0, Process(3, "gateway"): 5.0}
    after = {Process(1, "stub animals"): 1.5, Process(2, "stub animals"): 2.25, Process(3, "gateway"): 6.0}
    assert cpu.used(before, after) == {"stub animals": 0.75, "gateway": 1.0}


def test_a_process_that_was_restarted_in_between_spoils_the_figures() -> None:
    with pytest.raises(ProcessesChanged, match=r"gateway \(3\)"):
        cpu.used({Process(3, "gateway"): 5.0}, {Process(4, "gateway"): 1.0})


def test_accounts_of_several_runs_are_added() -> None:
    assert cpu.added({"gateway": 1.0, "tritonserver": 2.0}, {"gateway": 0.5}) == {"gateway": 1.5, "tritonserver": 2.0}


def test_cost_is_in_milliseconds_per_photo() -> None:
    assert cpu.ms_per_photo({"gateway": 3.0}, 1000) == {"gateway": 3.0}
    with pytest.raises(ValueError, match="no photo"):
        cpu.ms_per_photo({"gateway": 3.0}, 0)
