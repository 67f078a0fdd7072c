"""The tools under test: how each is set up for the hosts of a run, and the command of each workload.

Every tool gets the same hosts, variables, template and destination, a clean environment, and no connection that is
already open. Agents are resident and sshd listens before the clock starts; logging in is inside the time of all.
"""

import json
import pathlib
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
WORKLOADS = HERE / "workloads"
SSH_PORT = 22022
AGENT_PORT = 7443
SHARED_VARIABLES = {
    "rack": "rack-a", "network_threads": 8, "io_threads": 16, "partitions": 12, "replication": 3,
    "retention_hours": 168, "cluster": "main",
}


class Failed(Exception):
    """A command or a check did not do what it must."""


class Site:
    """The hosts of a run and where its files are."""

    def __init__(self, work, count, groups):
        if not 1 <= count <= 250:
            raise Failed("--hosts must be from 1 to 250")
        self.work, self.count, self.groups = work, count, groups
        self.names = [f"h{n:03}" for n in range(1, count + 1)]
        self.few = self.names[:10]
        self.dest, self.data, self.home = work / "dest", work / "data", work / "home"
        for folder in (self.dest, self.data, self.home):
            folder.mkdir(parents=True, exist_ok=True)

    def address(self, number):
        return f"127.1.0.{number + 1}"

    def environment(self, *folders, **more):
        path = ":".join([*map(str, folders), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        return {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", **more}

    def variables(self):
        return {**SHARED_VARIABLES, "bench_dest": str(self.dest), "bench_data": str(self.data)}

    def host_variables(self, number):
        name, address = self.names[number - 1], self.address(number)
        return {"broker_id": number, "host_name": f"{name}.example.internal", "listen_address": address}

    def inventory(self, extra):
        """The hosts in INI form, with further variables for all."""
        lines = ["[fleet]"]
        for number, name in enumerate(self.names, 1):
            pairs = {"ansible_host": self.address(number), **self.host_variables(number)}
            lines.append(" ".join([name, *(f"{key}={value}" for key, value in pairs.items())]))
        lines += ["[few]", *self.few, "[all:vars]"]
        lines += [f"{key}={value}" for key, value in {**self.variables(), **extra}.items()]
        return "\n".join(lines) + "\n"

    def start(self, argv, log, env=None):
        """Starts a server of the hosts' side."""
        with open(log, "ab") as out:
            return subprocess.Popen(self.groups.enter("hosts", argv), env=env or self.environment(),
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/")


def call(argv, **more):
    """Runs a preparing command; its standard output."""
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=300, **more)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{done.stderr or done.stdout}")
    return done.stdout.strip()


def wait_for_port(address, port, log, longest_s=30):
    end = time.monotonic() + longest_s
    while True:
        try:
            socket.create_connection((address, port), 1).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise Failed(f"nothing answers at {address}:{port}: {error}; see {log}") from error
            time.sleep(0.05)


def start_sshd(site):
    """One private sshd plays all hosts: it listens on every loopback address."""
    folder = site.work / "sshd"
    (folder / "home").mkdir(parents=True)
    for key in ("host", "login"):
        call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key])
    authorized = folder / "authorized_keys"
    authorized.write_text((folder / "login.pub").read_text())
    authorized.chmod(0o600)
    (folder / "config").write_text(
        f"Port {SSH_PORT}\nListenAddress 0.0.0.0\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {authorized}\nStrictModes no\nPermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPrintMotd no\n"
        "PrintLastLog no\nMaxStartups 1000\nMaxSessions 100\nLogLevel ERROR\n"
        "Subsystem sftp /usr/lib/openssh/sftp-server\n")
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    known = "".join(f"[{site.address(n)}]:{SSH_PORT} {key}\n" for n in range(1, site.count + 1))
    (folder / "known_hosts").write_text(known)
    # An empty home keeps the machine's shell start-up files out of the peers' times; /run/sshd may be missing.
    begin = ('mount --bind "$0/home" /root && mount -t tmpfs none /run && mkdir -m 755 /run/sshd && '
             'exec /usr/sbin/sshd -D -e -f "$0/config"')
    site.start(["unshare", "--mount", "sh", "-c", begin, str(folder)], folder / "log")
    wait_for_port(site.address(1), SSH_PORT, folder / "log")


class Kfleet:
    """kfleet: an agent a host, mutual TLS with certificates made here."""

    name = "kfleet"
    single = False

    def __init__(self, site, programs):
        self.site, self.fleet = site, site.work / "fleet"
        self.kfleet, self.agent = programs / "kfleet", programs / "kfleet-agent"
        self.agents = []
        self.version = call([self.kfleet, "--version"])

    def set_up(self):
        call([self.kfleet, "init", self.fleet, "--name", "bench"])
        (self.fleet / "inventory" / "hosts.ini").write_text(self.site.inventory({}))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.enrol, self.site.names))
        for number, name in enumerate(self.site.names, 1):
            folder = self.site.work / "agents" / name
            (folder / "agent.toml").write_text(
                f'listen = "{self.site.address(number)}:{AGENT_PORT}"\nstate_dir = "{folder}/state"\n'
                f'pki_dir = "{folder}/pki"\n')
            argv = [str(self.agent), "serve", "--config", str(folder / "agent.toml")]
            self.agents.append(self.site.start(argv, folder / "log"))
        for number, name in enumerate(self.site.names, 1):
            wait_for_port(self.site.address(number), AGENT_PORT, self.site.work / "agents" / name / "log")

    def enrol(self, name):
        folder = self.site.work / "agents" / name
        for part in ("pki", "state"):
            (folder / part).mkdir(parents=True)
        request = call([self.agent, "request", "--fleet", "bench", "--host", name, "--dir", folder / "pki"])
        request = request.splitlines()[-1]
        call([self.kfleet, "--fleet", self.fleet, "cert", "sign", "--host", name, request, "-o", folder / "bundle"])
        call([self.agent, "install-cert", folder / "bundle", "--dir", folder / "pki"])

    def command(self, workload):
        of = [str(self.kfleet), "--fleet", str(self.fleet)]
        return {
            "w1": [*of, "exec", "all", "-m", "command", "-a", "/bin/true"],
            "w2": [*of, "run", str(WORKLOADS / "w2.yml")],
            "w3": [*of, "run", str(WORKLOADS / "w3.yml")],
            "w4": [*of, "exec", "few", "-m", "command", "-a", f"cat {self.site.data}/lines.txt", "--json"],
        }[workload]

    def environment(self):
        return self.site.environment()

    def before(self):
        """Nothing of a run is left in memory: every command is a new process."""

    def changes(self, output):
        return recap_changes(output)

    def collected(self, output):
        """Bytes of output by host, from the stream of events."""
        bytes_of = {}
        with open(output, encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                if event["event"] == "host_output":
                    bytes_of[event["host"]] = bytes_of.get(event["host"], 0) + len(event["text"].encode())
        return bytes_of


class Ansible:
    """ansible-core at its best: as many forks as hosts, pipelining, kept connections within a run."""

    name = "ansible-core"
    single = True
    package = "ansible-core"

    def __init__(self, site, venv):
        self.site, self.bin = site, venv / "bin"
        self.sockets = site.work / "cp"
        found = call([self.bin / "python", "-c", "import importlib.metadata as m; print(m.version('ansible-core'))"])
        self.version = f"ansible-core {found}"

    def set_up(self):
        work, ssh = self.site.work, self.site.work / "sshd"
        self.sockets.mkdir()
        (work / "ansible.ini").write_text(self.site.inventory({
            "ansible_port": SSH_PORT, "ansible_user": "root", "ansible_ssh_private_key_file": ssh / "login",
            "ansible_python_interpreter": "/usr/bin/python3"}))
        (work / "ansible.cfg").write_text(
            f"[defaults]\nforks = {max(50, self.site.count)}\nhost_key_checking = False\nretry_files_enabled = False\n"
            f"nocows = True\nlocal_tmp = {work}/ansible-tmp\n[connection]\npipelining = True\n"
            f"[ssh_connection]\npipelining = True\ncontrol_path_dir = {self.sockets}\n"
            "ssh_args = -F none -o ControlMaster=auto -o ControlPersist=60s "
            f"-o UserKnownHostsFile={ssh}/known_hosts\n")

    def command(self, workload):
        inventory = ["-i", str(self.site.work / "ansible.ini")]
        if workload == "w1":
            return [str(self.bin / "ansible"), *inventory, "all", "-m", "command", "-a", "/bin/true"]
        return [str(self.bin / "ansible-playbook"), *inventory, str(WORKLOADS / f"{workload}.yml")]

    def environment(self):
        return self.site.environment(self.bin, ANSIBLE_CONFIG=str(self.site.work / "ansible.cfg"))

    def before(self):
        """Closes the connections that ControlPersist would keep into the next run."""
        for path in self.sockets.iterdir():
            subprocess.run(["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "x"],
                           capture_output=True, check=False)

    def changes(self, output):
        return recap_changes(output)

    def collected(self, _output):
        """The playbook itself asserts the length of what came back, and fails otherwise."""
        return None


class Pyinfra:
    """pyinfra with its defaults: all hosts at once."""

    name = "pyinfra"
    single = False
    package = "pyinfra"

    def __init__(self, site, venv):
        self.site, self.bin = site, venv / "bin"
        found = call([self.bin / "python", "-c", "import importlib.metadata as m; print(m.version('pyinfra'))"])
        self.version = f"pyinfra {found}"

    def set_up(self):
        ssh = self.site.work / "sshd"
        shared = {**self.site.variables(), "ssh_port": SSH_PORT, "ssh_user": "root", "ssh_key": str(ssh / "login"),
                  "ssh_known_hosts_file": str(ssh / "known_hosts"), "ssh_strict_host_key_checking": "yes",
                  "ssh_allow_agent": False, "ssh_look_for_keys": False}
        for group, names in (("fleet", self.site.names), ("few", self.site.few)):
            hosts = [(self.site.address(n), {**shared, "short": name, **self.site.host_variables(n)})
                     for n, name in enumerate(names, 1)]
            (self.site.work / f"pyinfra_{group}.py").write_text(f"hosts = {hosts!r}\n")

    def command(self, workload):
        group = "few" if workload in ("w3", "w4") else "fleet"
        return [str(self.bin / "pyinfra"), "-y", str(self.site.work / f"pyinfra_{group}.py"),
                str(WORKLOADS / f"pyinfra_{workload}.py")]

    def environment(self):
        return self.site.environment(self.bin)

    def before(self):
        """pyinfra keeps no connection."""

    def changes(self, _output):
        """Its two commands always count as changed, so its own count says nothing."""
        return None

    def collected(self, _output):
        """The deploy itself asserts the length of what came back."""
        return None


def recap_changes(output):
    """The sum of `changed=N` over the recap, which kfleet prints as Ansible does."""
    text = pathlib.Path(output).read_text(encoding="utf-8", errors="replace")
    return sum(int(word.removeprefix("changed=")) for word in text.split() if word.startswith("changed="))
