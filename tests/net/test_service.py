"""tests/net/test_service.py: a running server and its TPM: over a unix socket, over TCP and through tpm2-abrmd; each
goes away and comes back; kill -9 leaves nothing loaded; what is too late is refused with a reason."""

import json
import os
import re
import shutil
import signal
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402
from swtpm import Swtpm  # noqa: E402


def wait_for(condition, seconds=20):
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError("did not happen within %d seconds" % seconds)
        time.sleep(0.02)


def pair_of_ports():
    """swtpm's TCTI wants the control port right above the server's."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except (OSError, OverflowError):
                pass
    raise AssertionError("no two free ports")


class Chip(harness.Lab):
    """A swtpm without a resource manager, a key in it, a CA, and the server's certificate."""

    def __init__(self, port=None):
        super().__init__()
        os.mkdir(self.path("run"), 0o700)
        self.env["XDG_RUNTIME_DIR"] = self.path("run")
        self.env["TPMTLS_LIBDIR"] = os.environ.get("TPMTLS_LIBDIR", os.path.dirname(harness.PROGRAM))
        self.chip = Swtpm(self.dir, port=port)
        self.swtpm = self.env["TPMTLS_TPM"] = self.chip.tcti
        self.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=CA")
        self.tpm_identity("server-p256", "p256", "/CN=localhost", "server", "DNS:localhost")

    def start(self):
        self.chip.start()

    def stop(self):
        self.chip.lose()

    def connect(self, server):
        return self.tpmtls("connect", "localhost:" + server.port, "--ca", "ca/ca.pem", stdin=b"hello\n")

    def transient(self):
        return self.must("tpm2_getcap", "-T", self.swtpm, "handles-transient").out

    def lockout_counter(self):
        return self.chip.wrong_passwords()

    def close(self):
        self.stop()
        super().close()


class Service(unittest.TestCase):
    def through_a_loss(self, chip, options=(), lose=None, find=None):
        with chip.serve(options=options) as server:
            self.assertEqual(chip.connect(server).out, b"hello\n")
            (lose or chip.stop)()
            self.assertEqual(chip.connect(server).code, 5)
            server.wait_for("outage of the TPM begins: (cannot sign: the connection to the TPM|.*was lost and cannot be opened)")
            (find or chip.start)()
            for _ in range(2):
                self.assertEqual(chip.connect(server).out, b"hello\n")

    def with_chip(self, port=None):
        chip = Chip(port)
        self.addCleanup(chip.close)
        return chip

    def test_unix_socket(self):
        self.through_a_loss(self.with_chip())

    def test_tcp(self):
        self.through_a_loss(self.with_chip(pair_of_ports()))

    def test_kill_without_a_resource_manager(self):
        chip = self.with_chip()
        for _ in range(4):  # three slots
            server = chip.serve()
            self.assertNotEqual(chip.transient(), b"")
            server.stop(signal.SIGKILL)
        chip.must(harness.PROGRAM, "csr", "--key", "server-p256.key", "--subject", "/CN=x", "-o", "x.csr")
        self.assertEqual(chip.transient(), b"")
        self.assertEqual(os.listdir(chip.path("run/tpmtls")), [])

    def test_abrmd(self):
        lib = "/usr/lib/%s-linux-gnu/libtss2-tcti-tabrmd.so.0" % os.uname().machine
        if not (shutil.which("tpm2-abrmd") and shutil.which("dbus-daemon") and os.path.exists(lib)):
            self.skipTest("tpm2-abrmd, dbus-daemon and libtss2-tcti-tabrmd0 are needed")
        chip = self.with_chip()
        bus = "unix:path=" + chip.path("bus")
        chip.env["DBUS_SESSION_BUS_ADDRESS"] = bus
        daemon = chip.background("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=" + bus)
        self.addCleanup(daemon.stop)
        wait_for(lambda: os.path.exists(chip.path("bus")))
        managers = []

        def start():
            root = ["--allow-root"] if os.geteuid() == 0 else []
            managers.append(chip.background("tpm2-abrmd", "--session", "--tcti=" + chip.swtpm, *root))
            wait_for(lambda: chip.run("tpm2_getcap", "-T", "tabrmd:bus_type=session", "handles-persistent").code == 0)

        def stop():
            managers.pop().stop()

        start()
        self.addCleanup(stop)
        self.through_a_loss(chip, ("--tpm", "tabrmd:bus_type=session"), stop, start)
        server = chip.serve(options=("--tpm", "tabrmd:bus_type=session"))
        server.stop(signal.SIGKILL)
        self.assertEqual(os.listdir(chip.path("run/tpmtls")), [])  # there is a manager: nothing is recorded
        wait_for(lambda: chip.transient() == b"")

    def two_after_a_restart(self, *create, options=()):
        """Two services on one TPM: after its restart, the second one's key or session has the first one's handle."""
        chip = self.with_chip()
        chip.write("pw", "a long enough word")
        for name in ("one", "two"):
            chip.must(harness.PROGRAM, "key", "create", "-o", name + ".key", *create, *options)
            chip.must(harness.PROGRAM, "csr", "--key", name + ".key", *options, "--subject", "/CN=localhost", "--san",
                      "DNS:localhost", "-o", name + ".csr")
            chip.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", name + ".csr", "--profile", "server", "-o",
                      name + ".pem")
        first, second = (chip.serve("--tickets", "0", key=name, options=options) for name in ("one", "two"))
        for server in (first, second):
            self.addCleanup(server.__exit__)
            self.assertEqual(chip.connect(server).out, b"hello\n")
        chip.stop()
        chip.start()
        before = chip.lockout_counter()
        for server in (second, first, second, first):
            self.assertEqual(chip.connect(server).out, b"hello\n", server.text)
        counted = chip.lockout_counter() - before
        for server in (first, second):
            server.stop()
        chip.write("wrong", "not the word")  # the control: such a key does count
        result = chip.tpmtls("csr", "--key", "one.key", "--auth-file", "wrong", "--subject", "/CN=x", "-o", "x.csr")
        self.assertEqual(result.code, 4, result.err)
        self.assertEqual(chip.lockout_counter() - before - counted, 1 if options else 0)
        return counted

    def test_a_handle_is_no_key(self):
        self.assertEqual(self.two_after_a_restart(), 0)

    def test_a_handle_is_no_session(self):
        # A session shows that it is ours before a password is tried in it: right ones only, and none is counted.
        self.assertEqual(self.two_after_a_restart("--lockout", options=("--auth-file", "pw")), 0)

    def test_the_session_is_proved_after_a_silence(self):
        """Only then: a busy server signs with one command."""
        chip = self.with_chip()
        chip.write("pw", "a long enough word")
        chip.must(harness.PROGRAM, "key", "create", "-o", "one.key", "--lockout", "--auth-file", "pw")
        chip.must(harness.PROGRAM, "csr", "--key", "one.key", "--auth-file", "pw", "--subject", "/CN=localhost", "--san",
                  "DNS:localhost", "-o", "one.csr")
        chip.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "one.csr", "--profile", "server", "-o", "one.pem")
        with chip.serve("--tickets", "0", "--trace", key="one", options=("--auth-file", "pw")) as server:
            time.sleep(0.1)
            self.assertEqual(chip.connect(server).out, b"hello\n")
            text = server.text.decode()
        self.assertIn("TPM2_GetRandom", text[text.index("listening"):])

    def test_too_late(self):
        chip = self.with_chip()
        slow = ("--tpm", "lab:profile=pc,jitter=off:" + chip.swtpm)
        with chip.serve("--sign-deadline", "100", options=slow) as server:
            self.assertEqual(chip.connect(server).code, 5)
            server.wait_for("gave no signature within the deadline of 100 ms")
        with chip.serve("--sign-deadline", "900", options=slow) as server:
            self.assertEqual(chip.connect(server).out, b"hello\n")
            command = [harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem"]
            many = [chip.background(*command) for _ in range(10)]
            server.wait_for("signatures must be made first, and this one would be there in about")
            for client in many:
                client.stop()
            self.assertEqual(chip.connect(server).out, b"hello\n")

    def outage(self, chip, server, fails, comes_back=3):
        """Ten connections fail of one outage: one line when it begins, one when it is over."""
        chip.stop()
        for _ in range(10):
            self.assertNotEqual(fails().out, b"hello\n")
        chip.start()
        time.sleep(comes_back)  # what works right after a failure is no end of it yet
        self.assertEqual(fails().out, b"hello\n")
        return server.wait_for(r"the TPM works again|state=ended|\"state\":\"ended\"")

    def test_an_outage_is_told_once(self):
        chip = self.with_chip()
        with chip.serve("--tickets", "0") as server:
            self.outage(chip, server, lambda: chip.connect(server))
            text = server.text.decode()
        self.assertEqual(text.count("an outage of the TPM begins: "), 1, text)
        self.assertRegex(text, r"the TPM works again after \d+ s, in which 10 requests to it failed")
        self.assertEqual(text.count("failed"), 2, text)  # no line for each of the ten
        self.assertIn("still there?", text)
        for wrong in ("faster key", "the choices are"):
            self.assertNotIn(wrong, text)

    def test_an_outage_as_events(self):
        chip = self.with_chip()
        with chip.serve("--tickets", "0", options=("--json",)) as server:
            self.outage(chip, server, lambda: chip.connect(server))
            lines = [json.loads(line) for line in server.text.decode().splitlines()]
        self.assertEqual([(e["state"], e["failed"]) for e in lines if e["event"] == "tpm_outage"],
                         [("began", 1), ("ended", 10)])
        self.assertEqual(len([e for e in lines if e["event"] == "closed" and e["error"]]), 10)  # each still has its own

    def test_an_outage_in_the_proxy(self):
        chip = self.with_chip()
        chip.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
        chip.openssl_request("soft")
        chip.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "soft.csr", "--profile", "client", "-o", "soft.pem")
        echo = harness.Programs(lambda peer: peer.sendall(peer.recv(100)))
        proxy = chip.background(harness.PROGRAM, "proxy", "server", "--listen", "127.0.0.1:0", "--connect", echo.at,
                                "--key", "server-p256.key", "--cert", "server-p256.pem", "--client-ca", "ca/ca.pem",
                                "--allow-all")
        with proxy:
            proxy.port = proxy.wait_for(r"event=listening tunnel=server address=127.0.0.1:(\d+)").group(1)
            def connect():
                return chip.tpmtls("connect", "localhost:" + proxy.port, "--ca", "ca/ca.pem", "--key", "soft.key", "--cert",
                                   "soft.pem", stdin=b"hello\n")
            self.assertEqual(connect().out, b"hello\n")
            self.outage(chip, proxy, connect)
            text = proxy.text.decode()
        self.assertEqual(len(re.findall("event=tpm_outage state=began", text)), 1, text)
        self.assertEqual(len(re.findall("event=tpm_outage state=ended", text)), 1, text)
        self.assertNotIn("event=refused", text)

    def test_an_outage_by_silence(self):
        """A TPM that stands still: who comes then is not told to use a faster key."""
        chip = self.with_chip()
        with chip.serve("--tickets", "0", "--sign-deadline", "2000") as server:
            self.assertEqual(chip.connect(server).out, b"hello\n")
            chip.chip.process.send_signal(signal.SIGSTOP)
            command = [harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem"]
            clients = []
            for _ in range(8):
                clients.append(chip.background(*command))
                time.sleep(0.4)
            server.wait_for("an outage of the TPM begins: the key was asked ")
            chip.chip.process.send_signal(signal.SIGCONT)
            for client in clients:
                client.stop()
            time.sleep(3)
            self.assertEqual(chip.connect(server).out, b"hello\n")
            server.wait_for("the TPM works again")
            self.assertNotIn(b"faster", server.text)
            self.assertIn(b"is the TPM well?", server.text)

    def test_deadline_is_checked(self):
        chip = self.with_chip()
        result = chip.tpmtls("serve", "127.0.0.1:0", "--key", "server-p256.key", "--cert", "server-p256.pem",
                             "--sign-deadline", "0")
        self.assertEqual(result.code, 2)
        self.assertIn("--sign-deadline: '0' is not a number", result.err)


if __name__ == "__main__":
    harness.tap_main()
