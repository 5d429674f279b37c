"""Drawing where there is no screen: pygame and MuJoCo are told so, before they draw."""

from __future__ import annotations

import os
import subprocess
import sys

from looptree.cli.usage import UsageError

_SDL_DRIVERS = ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER")

# Whether MuJoCo can draw is known only when it has: a library that is there may find nothing to draw on, and the first
# one that was loaded is kept, so that each is tried in a process of its own.
_DRAW = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 8, 8).render()"


def without_screen() -> None:
    """Let pygame look for no screen and no sound, and MuJoCo, where an environment has loaded it, take a way to draw
    that works here, unless variables of the process say otherwise.

    Raises:
        UsageError: MuJoCo has no way to draw here; the sentence says what to install.
    """
    for driver in _SDL_DRIVERS:
        os.environ.setdefault(driver, "dummy")
    if "mujoco" in sys.modules and sys.platform == "linux":
        os.environ["MUJOCO_GL"] = _way_of_mujoco()


def _way_of_mujoco() -> str:
    given = os.environ.get("MUJOCO_GL")
    screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    ways = (given,) if given else ("glfw", "egl", "osmesa") if screen else ("egl", "osmesa")
    for way in ways:
        if _draws(way):
            return way
    install = "apt-get install libegl1 libgl1-mesa-dri (MUJOCO_GL=egl) or libosmesa6 (MUJOCO_GL=osmesa) would fit."
    if given:
        raise UsageError(f"MuJoCo cannot draw here with MUJOCO_GL={given}; leaving that out, or {install}")
    raise UsageError(f"MuJoCo cannot draw here, neither with {' nor with '.join(ways)}; {install}")


def _draws(way: str) -> bool:
    variables = os.environ | {"MUJOCO_GL": way}
    return not subprocess.run([sys.executable, "-c", _DRAW], check=False, env=variables, capture_output=True).returncode
