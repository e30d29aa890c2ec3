"""tests/interop/peer.py: what a peer is, and two kinds of them: programs that connect stdin and stdout with the other
end, and our own few lines in the peer's language (peers/), which all take the same options."""

import time

from interop.cases import PSK
from interop.lab import Failed
from interop.run import Doc, Server

TWO_CONNECTIONS = ("resumption", "0-RTT")


class Peer:
    key = ""   # on the command line
    name = ""  # in the table
    http = ()  # the roles in which it speaks HTTP only

    def version(self, lab):
        """What the program says it is; raises Absent when it is not here."""
        raise NotImplementedError

    def speaks_http(self, case):
        return case.role in self.http

    def prepare(self, lab):
        """Build what must be built."""

    def words(self, case):
        """None, Doc or Seen."""
        if case.ech and (case.role, case.ech) not in self.ech:
            return Doc(self.no_ech)
        return self.says.get((case.role, case.feature)) or self.says.get(case.feature)

    says = {}
    roles = ("server", "client")
    only = ()  # titles of the only cells that are run; (): all
    ech = ()   # what it can of ECH: (role, "accept" or "retry")
    no_ech = "it has no Encrypted Client Hello"

    def serve(self, lab, case):
        raise NotImplementedError

    def connect(self, lab, case, port):
        """Run the client to its end; what it said. Raises Failed."""
        raise NotImplementedError

    def extra_check(self, case, text):
        return None


def talk(lab, case, command, env=None, first=None):
    """A client that connects stdin and stdout with the server: the data goes in four parts, each comes back."""
    process = lab.spawn(*command, env=env)
    data = lab.data[case.data]
    piece = len(data) // 4
    if first is not None:
        process.wait_for(first)
    for at in range(0, len(data), piece):
        process.write(data[at:at + piece])
        if not process.wait_until(lambda: data[:at + piece] in bytes(process.out)):
            raise Failed(process.text() or "no echo")
    try:
        process.process.stdin.close()
    except OSError:
        pass
    process.finish(0.3)
    return process.text()


class ProgramPeer(Peer):
    """Our own few lines: COMMAND server|client --port P ... ; the options that follow here. A client prints what it saw,
    a server "listening" when it is ready."""

    sets_group = True  # else only for HRR: our end decides alone
    early_pause = 0    # seconds: a server that has just started takes no 0-RTT data (RFC 9846 section 8.2)

    def command(self, lab):
        raise NotImplementedError

    def suite(self, name):
        return name

    def group(self, name):
        return name

    def env(self, lab):
        return {}

    def common(self, case):
        words = ["--ca", "ca.pem"]
        if case.suite:
            words += ["--suite", self.suite(case.suite)]
        if case.group and self.sets_group:
            words += ["--group", self.group(case.group)]
        if case.psk:
            words += ["--psk", ":".join(PSK)]
        if case.resume:
            words += ["--resume"]
        if case.early:
            words += ["--early", "early"]
        if case.ech:
            words += ["--ech-key", "ech.pem"] if case.role == "server" else ["--ech", "ech" if case.ech == "accept" else "ech-old"]
        return words

    def serve(self, lab, case):
        port = lab.free_port()
        words = self.common(case) + ["--cert", case.cert + ".pem", "--key", case.cert + ".key"]
        if case.retry:
            words += ["--group", self.group("secp384r1")]
        if case.client_cert:
            words += ["--require-client-cert"]
        process = lab.spawn(*self.command(lab), "server", "--port", port, *words, env=self.env(lab))
        lab.wait_listening(process, port, 30)
        time.sleep(self.early_pause if case.early else 0)
        return Server(process, port)

    def connect(self, lab, case, port):
        words = self.common(case) + ["--data", case.data]
        if case.client_cert:
            words += ["--cert", "client.pem", "--key", "client.key"]
        process = lab.spawn(*self.command(lab), "client", "--port", port, *words, env=self.env(lab))
        code = process.finish(40)
        if code != 0:
            raise Failed(process.text() or "exit code %s" % code)
        return process.text()
