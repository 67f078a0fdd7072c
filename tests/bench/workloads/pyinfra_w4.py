"""W4 for pyinfra: the operation keeps what the command printed."""

from pyinfra import host
from pyinfra.operations import python, server

printed = server.shell(name="Print the lines", commands=[f"cat {host.data.bench_data}/lines.txt"])


def all_of_it_has_come():
    assert len(printed.stdout) >= 9_999_999, len(printed.stdout)


python.call(name="All of it has come", function=all_of_it_has_come)
