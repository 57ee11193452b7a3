"""Versions of one contract side by side, each compiled apart, so that old meets new.

Generated modules would not do: Python imports one `users_pb2`, and protobuf keeps one pool.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from course_lib.lab.launch import serve_grpc
from course_lib.lab.launched import Server
from course_lib.transport.grpc_server import add_service


def message_class(contract: str, name: str) -> type[Message]:
    """Compile the text of a .proto file and return the class of one of its messages.

    Raises ValueError with what the compiler says.
    """
    with TemporaryDirectory() as folder:
        Path(folder, "contract.proto").write_text(contract, encoding="utf-8")
        options = ["-I.", "--descriptor_set_out=compiled", "contract.proto"]
        command = [sys.executable, "-m", "grpc_tools.protoc", *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr)
        compiled = Path(folder, "compiled").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
    return message_factory.GetMessages(files, descriptor_pool.DescriptorPool())[name]


def serve_version(message: type[Message], values: Mapping[str, Any], name: str) -> Server:
    """A real server whose `Users.GetUser` answers with these values, in this version."""
    users = message.DESCRIPTOR.file.services_by_name["Users"]

    async def get_user(request: Any, context: Any) -> Message:
        return message(**values)

    return serve_grpc(lambda server: add_service(server, users, {"GetUser": get_user}), name=name)
