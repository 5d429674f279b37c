"""Film: the pictures of an environment in a file, without a screen."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import gymnasium
import imageio_ffmpeg
import numpy as np
from gymnasium.error import Error

from looptree.cli.usage import UsageError
from looptree.observe.save import only_a_file

# Each picture gets the 256 colours that fit it, so that none has to wait in memory for the last one.
_PALETTES = ["-vf", "split[a][b];[a]palettegen=stats_mode=single[palette];[b][palette]paletteuse=new=1"]


class Film:
    """An .mp4 or .gif of environments that are `wrapped` in it; it is written beside its place, and renamed at the end.

    with Film(path, frames_per_s=50) as film:
        environment = film.wrapped(gymnasium.make("CartPole-v1", render_mode="rgb_array"))
    """

    def __init__(self, path: Path, frames_per_s: float) -> None:
        self.path = path
        self.frames_per_s = frames_per_s
        self._writer: Any = None
        self._beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")

    def __enter__(self) -> Film:
        with self._writable():
            only_a_file(self.path)
            self._beside.touch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            if kind is None:
                with self._writable():
                    self._beside.replace(self.path)
        finally:
            self._beside.unlink(missing_ok=True)

    def add(self, picture: Any) -> None:
        """Append a picture `(height, width, 3)`."""
        height, width, _ = picture.shape
        if self._writer is None:
            # Players want an even width and height of an mp4; a larger block would stretch the pictures.
            form = {"codec": "gif", "pix_fmt_out": "pal8", "output_params": _PALETTES, "macro_block_size": 1}
            self._writer = imageio_ffmpeg.write_frames(
                str(self._beside),
                (width, height),
                fps=self.frames_per_s,
                ffmpeg_log_level="error",
                **(form if self.path.suffix == ".gif" else {"macro_block_size": 2}),
            )
            self._writer.send(None)
        try:
            self._writer.send(np.ascontiguousarray(picture))
        except OSError as error:  # whose text is of how it was called
            raise UsageError(f"--video {self.path} cannot be written: ffmpeg has ended.") from error

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"--video {self.path} cannot be written: {error.strerror}.") from error

    def wrapped(self, environment: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """An environment that adds its pictures."""
        return _Filmed(environment, self)


class _Filmed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds the picture of each step, and of a reset once a step follows it: the one behind the last episode is none."""

    def __init__(self, environment: gymnasium.Env[Any, Any], film: Film) -> None:
        super().__init__(environment)
        self._film = film
        self._first: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        began = super().reset(seed=seed, options=options)
        self._first = self._picture()
        return began

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self._first is not None:
            self._film.add(self._first)
            self._first = None
        stepped = super().step(action)
        self._film.add(self._picture())
        return stepped

    def _picture(self) -> Any:
        try:
            return self.render()
        except (Error, ImportError) as error:  # a package that draws is not installed
            raise UsageError(f"--video {self._film.path} cannot be drawn here: {error}") from error
