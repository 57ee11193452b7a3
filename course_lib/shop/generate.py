"""Generate the stubs of shop.proto: `python -m course_lib.shop.generate`.

A test generates them again and compares, so the committed code is always that of the source.
"""

import sys
from importlib.resources import files
from pathlib import Path

PROTO = Path(str(files("course_lib") / "shop" / "shop.proto"))


def generate(into: Path) -> None:
    """Write the generated modules below this folder, under the package's own path."""
    from grpc_tools import protoc

    root = PROTO.parents[2]
    includes = str(files("grpc_tools") / "_proto")
    outputs = (f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python"))
    arguments = ["protoc", f"-I{root}", f"-I{includes}", *outputs, str(PROTO)]
    if protoc.main(arguments) != 0:
        sys.exit("protoc found an error in shop.proto")


if __name__ == "__main__":
    generate(PROTO.parents[2])
