"""W3 for pyinfra: `files.put` does not verify what it has written, so a second operation does."""

import functools
import hashlib

from pyinfra import host
from pyinfra.operations import files, server

source = f"{host.data.bench_data}/large.bin"
target = f"{host.data.bench_dest}/w3/{host.data.short}.bin"


@functools.cache
def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


files.put(name="Copy the file", src=source, dest=target, mode="644")
server.shell(name="Verify it", commands=[f"echo '{digest(source)}  {target}' | sha1sum --check --status"])
