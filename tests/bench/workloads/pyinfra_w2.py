"""W2 for pyinfra: the twenty tasks of w2.yml; the stat is a fact, as pyinfra has no such operation."""

import pathlib

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import files, server

VARIABLES = ("rack", "network_threads", "io_threads", "partitions", "replication", "retention_hours", "cluster",
             "broker_id", "host_name", "listen_address")
LINES = {
    "vm.swappiness": 1, "vm.max_map_count": 262144, "vm.dirty_background_ratio": 5,
    "net.core.somaxconn": 4096, "net.ipv4.tcp_max_syn_backlog": 8192,
}

template = str(pathlib.Path(__file__).resolve().parent / "server.properties.j2")
variables = {name: host.data.get(name) for name in VARIABLES}
folder = f"{host.data.bench_dest}/w2/{host.data.short}"

files.directory(name="Make the folder", path=folder, mode="755")
for part in range(10):
    files.template(name=f"Render broker file {part}", src=template, dest=f"{folder}/broker-{part}.properties",
                   part=part, **variables)
for key, value in LINES.items():
    expression = "^" + key.replace(".", r"\.") + " *=.*"
    files.line(name=f"Set {key}", path=f"{folder}/90-broker.conf", line=expression, replace=f"{key} = {value}")
server.shell(name="Look whether a file has content", commands=[f"test -s {folder}/broker-0.properties"])
server.shell(name="Print a checksum", commands=[f"sha256sum {folder}/broker-9.properties"])
files.file(name="Take the file from others", path=f"{folder}/broker-0.properties", mode="640")
host.get_fact(File, path=f"{folder}/broker-9.properties")
