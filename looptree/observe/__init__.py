"""Floor 1: readings of the plan that watch a loop: described, timed, traced."""

from looptree.observe.describe import describe
from looptree.observe.profile import Profile
from looptree.observe.trace import Trace

__all__ = ["Profile", "Trace", "describe"]
