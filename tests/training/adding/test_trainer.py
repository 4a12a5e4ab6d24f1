"""Epochs over a model of a dozen numbers: stopping, going on, and several processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.support.stack import ROOT  # noqa: E402
from training.adding.machine import Machine  # noqa: E402
from training.adding.recipe import AddRecipe  # noqa: E402
from training.adding.trainer import LOSS, Batch, Diverged, History, train  # noqa: E402
from training.evaluate import Figures  # noqa: E402

CPU = Machine(torch.device("cpu"))
RECIPE = AddRecipe(epochs=6, patience=6, head_rate=0.05, batch=8)


class Course:
    """Sixteen points in three classes; ``losses`` overrules what an examination finds."""

    def __init__(self, losses: list[float] | None = None) -> None:
        draw = torch.Generator().manual_seed(3)
        self.points = torch.randn(16, 4, generator=draw)
        self.accepted = torch.nn.functional.one_hot(torch.arange(16) % 3, 3).bool()
        self.teacher = torch.randn(16, 2, generator=draw)
        self.losses = losses

    @property
    def steps(self) -> int:
        return 2

    def batches(self, epoch: int, machine: Machine) -> Iterator[Batch]:
        order = torch.randperm(16, generator=torch.Generator().manual_seed(epoch))
        for chosen in map(machine.share, torch.split(order, 8)):
            yield Batch(self.points[chosen], self.teacher[chosen], self.accepted[chosen], torch.ones(len(chosen)))

    def examine(self, model: torch.nn.Module, machine: Machine) -> Figures:
        with torch.no_grad():
            logits = model(self.points)
        found = float(torch.nn.functional.cross_entropy(logits, torch.arange(16) % 3))
        return {LOSS: self.losses.pop(0) if self.losses else found}


def model() -> torch.nn.Linear:
    torch.manual_seed(1)
    return torch.nn.Linear(4, 3)


def run(
    learner: torch.nn.Module, course: Course, state: Path | None = None, key: str = "", killed_at: int = -1,
    recipe: AddRecipe = RECIPE,
) -> History:  # fmt: skip
    def done(epoch: int, figures: Figures) -> None:
        if epoch == killed_at:
            raise KeyboardInterrupt

    groups = [{"params": learner.parameters(), "lr": recipe.head_rate}]
    return train(learner, groups, course, recipe, 7, CPU, state, key, done)


def test_a_training_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, killed, again = model(), model(), model()
    expected = run(whole, Course())
    with pytest.raises(KeyboardInterrupt):
        run(killed, Course(), tmp_path / "state.pt", "key", killed_at=3)
    found = run(again, Course(), tmp_path / "state.pt", "key")
    assert torch.equal(again.weight, whole.weight)
    assert found.epochs == expected.epochs


def test_the_state_of_another_task_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(model(), Course(), tmp_path / "state.pt", "key", killed_at=3)
    whole, other = model(), model()
    run(whole, Course())
    run(other, Course(), tmp_path / "state.pt", "other key")
    assert torch.equal(other.weight, whole.weight)


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best() -> None:
    learner, best = model(), model()
    patient = AddRecipe(epochs=6, patience=2, head_rate=0.05, batch=8)
    history = run(learner, Course([5.0, 4.0, 3.0, 3.5, 3.2, 1.0]), recipe=patient)
    assert (history.best, len(history.epochs)) == (2, 5)
    run(best, Course([5.0, 4.0, 3.0, 9.0, 9.0, 9.0, 9.0]))
    assert torch.equal(learner.weight, best.weight)


def test_a_training_that_only_gets_worse_changes_nothing() -> None:
    learner = model()
    run(learner, Course([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]))
    assert torch.equal(learner.weight, model().weight)


def test_a_loss_that_is_no_number_ends_it_with_advice() -> None:
    with pytest.raises(Diverged, match="lower rates"):
        run(model(), Course([1.0, float("nan")]))


def main() -> None:
    """One of several processes, started by the test below."""
    from training.adding.machine import this_machine

    with this_machine() as machine:
        learner = model()
        if machine.rank:
            torch.nn.init.zeros_(learner.weight)  # the first process's weights count
        groups = [{"params": learner.parameters(), "lr": RECIPE.head_rate}]
        train(learner, groups, Course(), RECIPE, 7, machine, None, "", lambda epoch, figures: None)
        torch.save(learner.state_dict(), Path(sys.argv[1]) / f"{machine.rank}.pt")


@pytest.mark.long
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    script = tmp_path / "learner.py"
    script.write_text("from tests.training.adding.test_trainer import main\nmain()\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*torchrun, str(script), str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    alone = model()
    run(alone, Course())
    for rank in range(2):
        weight = torch.load(tmp_path / f"{rank}.pt")["weight"]
        assert torch.allclose(weight, alone.weight, atol=1e-5)
