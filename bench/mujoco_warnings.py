"""What MuJoCo has to say, without what it says of Gymnasium's HalfCheetah each time that one is made: that an attribute
of its file is deprecated. By itself MuJoCo prints that, and appends it to a file MUJOCO_LOG.TXT in the working folder.
"""

import importlib
import importlib.util
import sys

KNOWN = "compiler attribute 'settotalmass' is deprecated"


def leave_out_the_known() -> None:
    """Let MuJoCo, where it is installed, say all but that, on standard error."""
    if importlib.util.find_spec("mujoco") is not None:
        importlib.import_module("mujoco").set_mju_user_warning(say)


def say(warning: str) -> None:
    if not warning.startswith(KNOWN):
        print(f"MuJoCo: {warning}", file=sys.stderr)
