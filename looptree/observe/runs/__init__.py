"""Runs in folders: a Recorder writes one while a loop runs, a Run reads it."""

from looptree.observe.runs.recorder import Recorder
from looptree.observe.runs.run import NotARun, Run

__all__ = ["NotARun", "Recorder", "Run"]
