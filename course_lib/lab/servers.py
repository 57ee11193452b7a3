"""Real servers as child processes: on loopback, in a temporary folder, gone with their parent.

Leaves out: anything that outlives the process which started it.
"""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_STARTING_SECONDS = 20.0


def postgres_folder() -> Path | None:
    """Where PostgreSQL's programs are, or None when it is not installed; the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[-3])
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Postgres:
    """A throw-away PostgreSQL; `.url` is for `Database`. Raises RuntimeError if it cannot start."""

    def __init__(self) -> None:
        programs = postgres_folder()
        if programs is None:
            raise RuntimeError("PostgreSQL is not installed: `apt-get install postgresql`")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.url = f"postgresql+asyncpg://shop@127.0.0.1:{port}/postgres"
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)
        try:
            self._as_user = _ordinary_user(self.folder)
            self._start(programs, port)
        except BaseException:
            self.stop()
            raise

    def _start(self, programs: Path, port: int) -> None:
        data = self.folder / "data"
        initialise: list[str | Path] = [programs / "initdb", "-D", data, "-U", "shop"]
        initialise += ["-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"]
        command = [*self._as_user, *initialise]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 50,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._as_user, *_dies_with_us(), programs / "postgres", "-D", data, *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready(port)

    def _wait_until_ready(self, port: int) -> None:
        assert self._process is not None
        give_up = time.monotonic() + _STARTING_SECONDS
        while b"ready to accept connections" not in self._log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > give_up:
                last_lines = self._log.read_text(errors="replace")[-500:]
                raise RuntimeError(f"PostgreSQL did not start on port {port}: {last_lines}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and remove its folder; a second time does nothing."""
        atexit.unregister(self.stop)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Postgres":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ordinary_user(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: give the folder to its own user, and run as that."""
    if os.getuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    try:
        os.chown(folder, user.pw_uid, user.pw_gid)
    except OSError:  # a namespace that maps no other user
        raise RuntimeError("PostgreSQL does not run as root, and there is no other user") from None
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _dies_with_us() -> list[str]:
    return ["setpriv", "--pdeathsig", "INT", "--"] if shutil.which("setpriv") else []
