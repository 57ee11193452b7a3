"""PostgreSQL as a child process, on loopback, gone with its parent."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from course_lib.lab.servers.child import ServerProcess

_READY = "ready to accept connections"


def postgres_folder() -> Path | None:
    """Where PostgreSQL's programs are, or None when it is not installed; the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[-3])
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Postgres(ServerProcess):
    """A throw-away PostgreSQL; `.url` is for `Database`. Raises RuntimeError if it cannot start."""

    def __init__(self) -> None:
        programs = postgres_folder()
        if programs is None:
            raise RuntimeError("PostgreSQL is not installed: `apt-get install postgresql`")
        super().__init__("PostgreSQL", ends_at=signal.SIGINT)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"postgresql+asyncpg://shop@127.0.0.1:{port}/postgres"
        try:
            as_user = self._initialise(programs)
        except BaseException:
            self.stop()
            raise
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 50,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server: list[str | Path] = [programs / "postgres", "-D", self.folder / "data", *options]
        self._start(server, lambda: _READY in self.log, before=as_user)

    def _initialise(self, programs: Path) -> list[str]:
        """Make an empty database; returns what stands before a command for its own user."""
        as_user = _ordinary_user(self.folder)
        command: list[str | Path] = [programs / "initdb", "-D", self.folder / "data", "-U", "shop"]
        command += ["-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"]
        quiet = subprocess.DEVNULL
        subprocess.run([*as_user, *command], check=True, cwd=self.folder, stdout=quiet)
        return as_user


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
