"""Live: the page about a run that goes on, kept up to date in a browser.

live = LiveReport(Run("runs/first"))
print(live.address)      # http://127.0.0.1:41873/
live.serve()             # until Ctrl-C

It is there for this machine alone: it listens on loopback, answers to the names of this machine only, so that no page
from elsewhere can read it under a name of its own, and has two addresses, neither of which leads to a file.
"""

from __future__ import annotations

import os
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from looptree.core.errors import LooptreeError
from looptree.observe.report.latest import Latest
from looptree.observe.runs import NotARun, Run

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65_535
_NAMES = [_LOOPBACK, "localhost"]
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the rest stands in the page, where it goes for a file too
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class CannotListen(LooptreeError, OSError):
    """A port is none, is taken, or is not for everybody."""


class LiveReport:
    """A report that follows a run; it listens from when it is made, and answers while it serves.

    Args:
        run: the run.
        port: where to listen, by default at a port that is free.

    Attributes:
        address: what to open in a browser.

    Raises:
        CannotListen: the port is none, is taken, or is not for everybody.
    """

    def __init__(self, run: Run, port: int = 0) -> None:
        self._run = run
        self._socket = _listening(port)
        self.address = f"http://{_LOOPBACK}:{self._socket.getsockname()[1]}/"

    def serve(self) -> None:
        """Answer until the process is asked to end.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; by then everything is closed.
        """
        with self._socket:
            config = uvicorn.Config(
                _application(Latest(self._run)),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
            )
            uvicorn.Server(config).run(sockets=[self._socket])


def _listening(port: int) -> socket.socket:
    if not 0 <= port <= _LAST_PORT:
        raise CannotListen(f"Port {port}: a whole number from 0 to {_LAST_PORT} would fit; 0 takes one that is free.")
    try:
        return socket.create_server((_LOOPBACK, port))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise CannotListen(f"Port {port} cannot be listened on ({why}); 0 takes one that is free.") from error


def _application(latest: Latest) -> Starlette:
    async def page(_: Request) -> Response:
        return HTMLResponse(latest.drawing().live_page, headers=_HEADERS)

    async def news(_: Request) -> Response:
        return HTMLResponse(latest.drawing().news, headers=_HEADERS)

    return Starlette(
        routes=[Route("/", page), Route("/news", news)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_NAMES, www_redirect=False)],
        exception_handlers={NotARun: _unreadable},
    )


async def _unreadable(_: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), status_code=503, headers=_HEADERS)
