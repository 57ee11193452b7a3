"""Opens the workspace in JupyterLab, or tells where it is open already."""

import json
import os
import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from course_lib.grading import places
from course_lib.grading.progress import write_atomically

_QUIET = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    }
}


def running_url() -> str | None:
    """The address of the JupyterLab that already serves this workspace, or None."""
    from jupyter_server.serverapp import list_running_servers

    for server in list_running_servers():
        if os.path.realpath(server.get("root_dir", "")) == str(places.workspace()):
            token = f"?token={server['token']}" if server.get("token") else ""
            return f"{server['url']}lab{first_page()}{token}"
    return None


def first_page() -> str:
    """The path of lesson 0.0 below `/lab`."""
    path = places.notebook(places.workspace() / "notebooks", "0.0")
    return f"/tree/notebooks/{quote(path.name)}" if path else ""


def _terminal() -> dict[str, list[str]]:
    """A shell that is no login shell: /etc/profile would take `course` off the PATH again."""
    return {"shell_command": [os.environ.get("SHELL") or "sh"]}


def start(browser: bool, port: int | None) -> NoReturn:
    """Become JupyterLab; it takes the next free port when one is taken, and prints its address."""
    quieten_jupyterlab()
    options = [
        f"--ServerApp.root_dir={places.workspace()}",
        f"--LabApp.default_url=/lab{first_page()}",
        "--ServerApp.log_level=WARN",
        "--LabApp.log_level=WARN",
        "--LabApp.extension_manager=readonly",  # the other one asks PyPI
        f"--ServerApp.terminado_settings={_terminal()}",
    ]
    if not browser:
        options.append("--no-browser")
    if port is not None:
        options.append(f"--ServerApp.port={port}")
    if os.geteuid() == 0:
        options.append("--allow-root")
    ours = str(places.root() / "course_lib" / "lab" / "jupyter")  # alt texts, links to headings
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [ours, os.getenv("JUPYTER_PATH")]))
    bin = os.path.dirname(sys.executable)  # `course` in a terminal, `!course` in a cell
    os.environ["PATH"] = os.pathsep.join(filter(None, [bin, os.getenv("PATH")]))
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel is this Python, not one of the user's
    os.chdir(places.workspace())
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options])


def quieten_jupyterlab() -> None:
    """Turn JupyterLab's prompt for news off; settings somebody made by hand are left alone."""
    path = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(_QUIET, indent=1).encode())
    except OSError:
        return  # the prompt is a nuisance, not a failure
