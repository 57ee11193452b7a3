"""The normal form of a stored notebook: the same content always gives the same bytes."""

import base64
import hashlib
import re
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat

_METADATA: dict[str, Any] = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
_TASK = re.compile(r"\s*%%task[ \t]+([\w-]+)")
_KEPT = ("tags", "editable", "deletable")
_WIDGET = "application/vnd.jupyter.widget-view+json"


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`, version 4; raises OSError, or ValueError when it is none."""
    try:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    except OSError:
        raise
    except Exception as error:  # nbformat takes a number for a notebook, and then falls over it
        raise ValueError(f"it is not a readable notebook: {error}") from error
    return book


def write(book: nbformat.NotebookNode, path: Path) -> None:
    """Store, with a newline at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(book), encoding="utf-8")


def dumps(book: nbformat.NotebookNode) -> str:
    """The notebook as text."""
    return nbformat.writes(book, version=4).rstrip("\n") + "\n"


def normalise(book: nbformat.NotebookNode, stem: str) -> nbformat.NotebookNode:
    """Number the executed cells, name all cells, and drop what differs from run to run."""
    book.metadata = nbformat.from_dict(_METADATA)
    book.nbformat, book.nbformat_minor = 4, 5
    executed, seen = 0, Counter[str]()
    for cell in book.cells:
        cell.id = _cell_id(cell, stem, seen)
        cell.metadata = nbformat.from_dict(
            {k: cell.metadata[k] for k in _KEPT if k in cell.metadata}
        )
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").split("\n"))
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            executed += 1
            cell.execution_count = executed
        cell.outputs = _outputs(cell.outputs, cell.execution_count)
    nbformat.validate(book)
    return book


def _cell_id(cell: nbformat.NotebookNode, stem: str, seen: Counter[str]) -> str:
    """The task's name, or a digest of the text, so that inserting a cell renames no other."""
    task = _TASK.match(cell.source) if cell.cell_type == "code" else None
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source.strip()}".encode()).hexdigest()[:8]
    base = f"task-{task[1]}"[:60] if task else f"{stem.split('-')[0].replace('.', '-')}-{digest}"
    seen[base] += 1
    return base if seen[base] == 1 else f"{base}-{seen[base]}"


def _outputs(outputs: list[Any], count: int | None) -> list[Any]:
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
            continue
        output.pop("transient", None)
        if "data" in output:
            output.data.pop(_WIDGET, None)
            output.metadata = nbformat.from_dict(_picture(output.data, output.metadata))
        if output.output_type == "execute_result":
            output.execution_count = count
        kept.append(output)
    return kept


def _picture(data: Any, metadata: Any) -> dict[str, Any]:
    """Size and alt text, which in the stored form is the stored text."""
    if "image/png" not in data:
        return {}
    data["image/png"] = base64.b64encode(_bare_png(base64.b64decode(data["image/png"]))).decode()
    size = {k: metadata.get("image/png", {}).get(k) for k in ("width", "height")}
    return {"image/png": {k: v for k, v in size.items() if v} | {"alt": data.get("text/plain", "")}}


def _bare_png(png: bytes) -> bytes:
    """The picture without its text and time chunks (PNG specification, 5.3 and 11.3)."""
    out, at = png[:8], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
            out += png[at : at + 12 + length]
        at += 12 + length
    return out
