"""W1 for pyinfra: one command that does nothing."""

from pyinfra.operations import server

server.shell(name="Do nothing", commands=["/bin/true"])
