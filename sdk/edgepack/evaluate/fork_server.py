"""Child processes that run a module on a folder: forks of a server, so that imports are paid once.

Importing torch and a runtime takes seconds, most runs take less. The server imports what a run needs once,
and each run is a fork of it: a crash, a hang or a leak ends with the child. A server runs no model itself and
has one thread, as `fork` asks for. It takes jobs on its standard input, and ends with it.

Linux only. macOS's frameworks do not survive a fork without exec (Python's own default there is to spawn:
https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods), so that a run is a new
process there.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

_GRACE_SECONDS = 1.0
"""What a server that does not hang needs for an answer."""
IS_AVAILABLE = sys.platform == "linux"


class ServerLost(Exception):
    """The server ended, or gave no answer in time."""


class Children:
    """Runs `python -m MODULE FOLDER` for one folder after another; output goes to the file `log` in it.

    Without an argument, the module must call `serve`.
    """

    def __init__(self, module: str, log: str) -> None:
        self._module, self._log = module, log
        self._server: _ForkServer | None = None

    def run(self, scratch: Path, environment: dict[str, str], seconds: float) -> int | None:
        """The exit code; None if the child was stopped after `seconds`. An interrupt stops the child."""
        if not IS_AVAILABLE:
            return self._spawn(scratch, environment, seconds)
        if self._server is None or not self._server.fits(environment):
            self.close()
            self._server = _ForkServer(self._module, environment)
        try:
            return self._server.run(scratch, seconds)
        except ServerLost:
            self.close()
            return self._spawn(scratch, environment, seconds)

    def close(self) -> None:
        """End the server, if there is one."""
        if self._server is not None:
            self._server.close()

    def _spawn(self, scratch: Path, environment: dict[str, str], seconds: float) -> int | None:
        with (scratch / self._log).open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", self._module, str(scratch)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
            try:
                return child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                return None
            except BaseException:
                child.kill()
                child.wait()
                raise


class _ForkServer:
    """The parent's end of a server that runs `module`."""

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        self._identity = (environment, os.getcwd())
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        atexit.register(self.close)

    def fits(self, environment: dict[str, str]) -> bool:
        """Whether it runs and would start in the same way now. A fork of its parent may ask, too."""
        return self._is_running() and self._identity == (environment, os.getcwd())

    def _is_running(self) -> bool:
        assert self._process.stdin is not None
        if self._process.stdin.closed or self._process.returncode is not None:
            return False
        try:
            os.kill(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def run(self, scratch: Path, seconds: float) -> int | None:
        """The exit code of a child for the folder `scratch`; None if it was stopped after `seconds`.

        Raises ServerLost if the server ends first. An interrupt stops the child.
        """
        end = time.monotonic() + seconds
        self._send(str(scratch.resolve()))
        child = None
        try:
            child = self._answer(end)
            return self._answer(end)
        except TimeoutError:
            self._stop(child)
            return None
        except BaseException:
            self._stop(child)
            raise

    def close(self) -> None:
        """End the server."""
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _stop(self, child: int | None) -> None:
        """End a child, whose number the server may not have told yet, and the server."""
        with contextlib.suppress(ServerLost, TimeoutError):
            child = child or self._answer(time.monotonic() + _GRACE_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            self._answer(time.monotonic() + _GRACE_SECONDS)
        self.close()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError as cause:
            raise ServerLost from cause

    def _answer(self, end: float) -> int:
        """The next number that the server writes. Raises TimeoutError at `end`."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise TimeoutError
        line = self._process.stdout.readline()
        if not line:
            raise ServerLost
        return int(line)


def serve(prepare: Callable[[Path], None], run: Callable[[Path], None], log: str) -> None:
    """Fork a child for each folder named on standard input; its process number and exit code are the answer.

    `prepare` is called in the server before a fork, `run` in the child, whose output goes to the file `log`
    in the folder.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    jobs, answers = _own_streams()
    for line in jobs:
        scratch = Path(line.rstrip("\n"))
        prepare(scratch)
        child = os.fork()
        if not child:
            jobs.close()
            answers.close()
            _run_child(run, scratch, log)
        for number in (child, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])):
            answers.write(f"{number}\n")
            answers.flush()


def _own_streams() -> tuple[IO[str], IO[str]]:
    """The two pipes to the parent, out of reach of what a library prints or reads."""
    jobs = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return jobs, answers


def _run_child(run: Callable[[Path], None], scratch: Path, log: str) -> None:
    """Run in the child, and end it without the server's clean-up."""
    code = 1
    try:
        sink = os.open(scratch / log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        run(scratch)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
