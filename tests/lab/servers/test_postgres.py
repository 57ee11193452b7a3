"""Real servers as child processes: what they say when they cannot run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.lab.servers.postgres import postgres_folder

ALONE = ("unshare", "-r")  # a namespace in which root is the only user
START = "from course_lib.lab.servers.postgres import Postgres; Postgres()"


def test_postgres_says_that_it_cannot_run_as_root_and_leaves_no_folder(tmp_path: Path):
    if postgres_folder() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    if (
        not shutil.which("unshare")
        or subprocess.run([*ALONE, "true"], capture_output=True).returncode
    ):
        pytest.skip("this system has no user namespaces (`unshare -r`)")
    done = subprocess.run(
        [*ALONE, sys.executable, "-c", START],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "RuntimeError: PostgreSQL does not run as root" in done.stderr
    assert not list(tmp_path.glob("postgres-*"))
