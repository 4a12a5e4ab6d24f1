"""A search for the recipe: Optuna's trials over the cached views, unpromising ones ended early.

The study is a SQLite file in the output folder: a search that was killed goes on with what it has.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.adding.add import CACHE, Task, tuned
from training.adding.machine import Machine
from training.adding.material import gather
from training.adding.recipe import AddRecipe
from training.adding.tracking import tracked
from training.adding.trainer import LOSS, Diverged
from training.evaluate import Figures, Progress

if TYPE_CHECKING:
    from optuna import Trial

STUDY: Final = "study.db"
STARTUP_TRIALS: Final = 3
"""Trials that are never pruned: what later ones are held against."""

WARMUP_EPOCHS: Final = 2


def search(
    task: Task, recipe: AddRecipe, trials: int, out: Path, machine: Machine, progress: Progress, *, track: bool
) -> AddRecipe:
    """The recipe with the lowest loss on validation after ``trials`` finished trials, counting those of earlier calls.

    The first trial is ``recipe`` itself. Trials share the views, so an epoch takes seconds.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    material = gather(task.base, task.sources, recipe, task.seed, out / CACHE, progress)
    study = optuna.create_study(
        storage=f"sqlite:///{out / STUDY}",
        study_name=task.key(recipe),  # another task in the same folder is another study
        pruner=optuna.pruners.MedianPruner(STARTUP_TRIALS, WARMUP_EPOCHS),
        load_if_exists=True,
    )
    study.sampler = optuna.samplers.TPESampler(seed=task.seed + len(study.trials))  # not the same trials once more
    if not study.trials:
        study.enqueue_trial({name: getattr(recipe, name) for name in _SEARCHED})

    def objective(trial: Trial) -> float:
        tried = _suggested(trial, recipe)
        progress("trials", trial.number, trials)
        with tracked(out, tried.name, tried.to_dict(), {"kind": "trial"}, wanted=track) as run:

            def done(epoch: int, figures: Figures) -> None:
                run.epoch(epoch, figures)
                trial.report(figures[LOSS], epoch)
                progress(f"trial {trial.number}: epochs", epoch, tried.epochs)
                if trial.should_prune():
                    raise optuna.TrialPruned

            try:
                _, history = tuned(task, material, tried, None, machine, done)
            except Diverged as error:
                raise optuna.TrialPruned(str(error)) from error
        return history.epochs[history.best][LOSS]

    ended = [trial for trial in study.trials if trial.state.is_finished()]
    study.optimize(objective, n_trials=max(0, trials - len(ended)))
    best = {name: study.best_params[name] for name in _SEARCHED}
    return dataclasses.replace(recipe, **best)


_SEARCHED: Final = ("head_rate", "block_rate", "forgetting", "weight_decay")


def _suggested(trial: Trial, recipe: AddRecipe) -> AddRecipe:
    return dataclasses.replace(
        recipe,
        name=f"trial-{trial.number}",
        head_rate=trial.suggest_float("head_rate", 1e-4, 1e-2, log=True),
        block_rate=trial.suggest_float("block_rate", 1e-5, 1e-3, log=True),
        forgetting=trial.suggest_float("forgetting", 0.1, 10.0, log=True),
        weight_decay=trial.suggest_float("weight_decay", 0.0, 0.1),
    )
