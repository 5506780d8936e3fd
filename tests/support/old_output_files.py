"""Run between a worker of BuildBox and its runner, for clients that name outputs as REAPI 2.0 did.

Bazel 4 tells the files that an action writes in `output_files`, which REAPI 2.1 deprecated; BuildBox's runners look at
`output_paths` alone, and would bring nothing back. This gives the runner an action that names them in both.

    PYTHON old_output_files.py RUNNER OPTIONS…       with the options of the runner
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2 as messages
from buildgrid._protos.build.bazel.remote.execution.v2 import remote_execution_pb2_grpc as services


def digest_of(data: bytes) -> Any:  # noqa: ANN401 - a message of the API
    return messages.Digest(hash=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def main(arguments: Sequence[str]) -> None:
    options = dict(word.split("=", 1) for word in arguments if "=" in word)
    path = Path(options["--action"])
    action = messages.Action.FromString(path.read_bytes())
    store = services.ContentAddressableStorageStub(grpc.insecure_channel(options["--remote"]))

    request = messages.BatchReadBlobsRequest(digests=[action.command_digest])
    command = messages.Command.FromString(store.BatchReadBlobs(request).responses[0].data)
    if not command.output_paths:
        command.output_paths.extend(command.output_files)
        data = command.SerializeToString()
        action.command_digest.CopyFrom(digest_of(data))
        blob = messages.BatchUpdateBlobsRequest.Request(digest=action.command_digest, data=data)
        store.BatchUpdateBlobs(messages.BatchUpdateBlobsRequest(requests=[blob]))
        path.write_bytes(action.SerializeToString())
    os.execv(arguments[0], list(arguments))  # noqa: S606 - the runner that the worker was to start


main(sys.argv[1:])
