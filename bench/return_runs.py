"""One training run, and the returns of greedy episodes of what it has learnt."""

import dataclasses
import importlib
import time
from typing import Any

import numpy as np
from mujoco_warnings import leave_out_the_known
from return_tasks import RETURN_TASKS, ReturnTask, quick_changes

from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.learner import Learner
from looptree.rl.presets import PRESETS
from looptree.rl.seeding import stream

EPISODES, QUICK_EPISODES = 50, 2


def run(name: str, seed: int, quick: bool) -> dict[str, Any]:
    """Train, and evaluate the agent that the run keeps and the last one over the same new episodes."""
    task, episodes = RETURN_TASKS[name], QUICK_EPISODES if quick else EPISODES
    began = time.time()
    leave_out_the_known()
    if task.by_sb3:
        trainer = importlib.import_module("trainers.sb3_returns")
        final = kept = trainer.returns(settings(task, quick), task.env_id, seed, episodes)
        best_env_steps = None
    else:
        learner = ALGORITHMS[task.algorithm].learner(task.env_id, settings(task, quick), seed=seed).run()
        kept, final = learner.evaluate(episodes), of_the_last_agent(learner, episodes)
        best_env_steps = learner.best_env_steps
    return {
        "task": name,
        "seed": seed,
        "asked_for": asked_for(task, quick),
        "kept": float(np.mean(kept)),
        "final": float(np.mean(final)),
        "best_env_steps": best_env_steps,
        "seconds": time.time() - began,
    }


def settings(task: ReturnTask, quick: bool) -> Any:
    """The preset's, with the task's changes."""
    preset = PRESETS.settings(task.algorithm, task.env_id, ALGORITHMS[task.algorithm].settings)
    return dataclasses.replace(preset, **task.changes | (quick_changes(task.algorithm) if quick else {}))


def asked_for(task: ReturnTask, quick: bool) -> str:
    """What a result is of: one of other settings does not count."""
    return repr(settings(task, quick))


def of_the_last_agent(learner: Learner, episodes: int) -> Any:
    """The returns of the parameters that the run ended with, in the episodes that `Learner.evaluate` plays."""
    learner.network.eval()
    source = learner.episode_source(learner.network, episodes, stream(learner.seed, "evaluate"))
    source.run()
    source.close()
    return source.returns
