"""tests/integration/test_killed.py: kill -9 at any moment, on a TPM without a resource manager: after each command that the TPM
carried out, before its answer arrives; and at random moments, TPMTLS_KILL_ROUNDS of each kind. The next run works, and leaves
nothing in the TPM and nothing beside the files."""

import glob
import os
import random
import re
import signal
import socket
import subprocess
import time
import unittest

import harness
import interposer
from swtpm import Swtpm

LAB = CHIP = BUS = None
ROUNDS = int(os.environ.get("TPMTLS_KILL_ROUNDS", "4"))
COMMANDS = 40  # a run has fewer


def setUpModule():
    global LAB, CHIP, BUS
    LAB = harness.Lab()
    CHIP = Swtpm(LAB.path("chip"))
    BUS = interposer.Interposer(LAB.path("bus"), CHIP, CHIP)
    LAB.env["TPMTLS_TPM"] = BUS.tcti
    LAB.env["XDG_RUNTIME_DIR"] = LAB.path("run")
    os.mkdir(LAB.path("run"), 0o700)
    LAB.write("pw", "open sesame, a long one\n")
    LAB.write("secret", "what nobody else reads\n")
    LAB.write("psk", os.urandom(32).hex())
    LAB.must(harness.PROGRAM, "key", "create", "-o", "device.key", "--auth-file", "pw")
    LAB.must(harness.PROGRAM, "ticket-key", "-o", "rotated.key")


def tearDownModule():
    BUS.close()
    CHIP.stop()
    LAB.close()


# What is run, with OUT for a name that is free.
KINDS = {
    "create": (["key", "create", "-o", "OUT", "--auth-file", "pw"], "secret"),
    "seal": (["key", "seal", "secret", "-o", "OUT"], "secret"),
    "held": (["psk", "import", "--identity", "d", "--role", "client", "--context", "c", "-o", "OUT"], "psk"),
    "persist": (["key", "persist", "device.key", "0x81000020"], "secret"),
    "at a handle": (["key", "create", "--persist", "0x81000020", "-o", "OUT"], "secret"),
    "root of tickets": (["ticket-key", "--in-tpm", "-o", "OUT"], "secret"),
    "rotation": (["ticket-key", "-o", "rotated.key", "--rotate"], "secret"),
    "use": (["csr", "--key", "device.key", "--auth-file", "pw", "--subject", "/CN=x", "-o", "OUT"], "secret"),
}


class Case(unittest.TestCase):
    names = 0

    def tearDown(self):
        BUS.lie = None
        for path in glob.glob(LAB.path("run/tpmtls/*")):  # of a test that failed
            os.unlink(path)
        CHIP.tools("tpm2_flushcontext", "-t")
        CHIP.tools("tpm2_flushcontext", "-l")

    def start(self, kind):
        Case.names += 1
        args, stdin = KINDS[kind]
        out = "out%d" % Case.names
        with open(LAB.path(stdin), "rb") as at:
            return out, subprocess.Popen([harness.PROGRAM] + [out if a == "OUT" else a for a in args], stdin=at, cwd=LAB.dir,
                                         env=LAB.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def killed_at(self, kind, n):
        """Whether it had so many commands. The TPM has carried out the n-th, nobody hears of it."""
        out, process = None, None
        seen = [0]

        def lie(_code, _command, response):
            seen[0] += 1
            if seen[0] == n:
                process.send_signal(signal.SIGKILL)
                process.wait()
            return response
        BUS.lie = lie
        out, process = self.start(kind)
        process.communicate(timeout=harness.TIMEOUT)
        BUS.lie = None
        return out, process.returncode == -signal.SIGKILL

    def loaded(self):
        return CHIP.tools("tpm2_getcap", "handles-transient") + CHIP.tools("tpm2_getcap", "handles-loaded-session")

    def has_handle(self):
        return "0x81000020" in CHIP.tools("tpm2_getcap", "handles-persistent").lower()

    def check(self, kind, out, where):
        """After the kill; then the next run."""
        path = LAB.path(out)
        if os.path.exists(path):  # a whole one
            self.assertRegex(LAB.read(out).decode(), r"-----END [A-Z0-9 ]+-----\n", where)
            self.assertEqual(os.stat(path).st_mode & 0o77 if kind != "use" else 0, 0, where)
        had = self.has_handle()
        if kind == "at a handle" and had:
            self.assertTrue(os.path.exists(path), "a handle without its file: " + where)
        if had:
            CHIP.tools("tpm2_evictcontrol", "-C", "o", "-c", "0x81000020")
        _, process = self.start(kind)
        err = process.communicate(timeout=harness.TIMEOUT)[1].decode()
        self.assertEqual(process.returncode, 0, where + ": " + err)
        self.assertEqual(self.loaded(), "", where)
        self.assertEqual(os.listdir(LAB.path("run/tpmtls")), [], where)
        self.assertEqual([f for f in glob.glob(LAB.path("*.*")) if re.search(r"\.tpmtls-.{6}$", f)], [], where)
        if self.has_handle():
            CHIP.tools("tpm2_evictcontrol", "-C", "o", "-c", "0x81000020")


class Killed(Case):
    def each_command(self, kind):
        for n in range(1, COMMANDS):
            out, was_killed = self.killed_at(kind, n)
            if not was_killed:
                self.assertGreater(n, 1 if kind != "rotation" else 0)
                return
            self.check(kind, out, "%s, killed at command %d" % (kind, n))
        self.fail("%s takes too many commands" % kind)

    def at_random(self, kind):
        limit = 0
        for _ in range(2):
            began = time.monotonic()
            self.start(kind)[1].communicate(timeout=harness.TIMEOUT)
            limit = max(limit, time.monotonic() - began)
            if self.has_handle():
                CHIP.tools("tpm2_evictcontrol", "-C", "o", "-c", "0x81000020")
        for i in range(ROUNDS):
            out, process = self.start(kind)
            time.sleep(random.random() * limit)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=harness.TIMEOUT)
            self.check(kind, out, "%s, round %d" % (kind, i))


def _add(kind):
    name = kind.replace(" ", "_")
    setattr(Killed, "test_each_command_of_" + name, lambda self: self.each_command(kind))
    setattr(Killed, "test_at_random_in_" + name, lambda self: self.at_random(kind))


for _kind in KINDS:
    _add(_kind)


class Others(Case):
    """What is somebody else's stays, whatever a killed process left."""

    START = bytes.fromhex("8001000000340000017640000007400000070010") + bytes(16) + bytes.fromhex("000000" + "0010" + "000b")

    def foreign_session(self):
        command = self.START[:2] + len(self.START).to_bytes(4, "big") + self.START[6:]
        with socket.socket(socket.AF_UNIX) as to:
            to.connect(CHIP.tcti.split("path=")[1])
            to.sendall(command)
            return to.recv(4096)[10:14].hex()

    @staticmethod
    def short(handle):
        """As tpm2_getcap prints it."""
        return "0x%x" % int(handle, 16)

    def test_objects_and_sessions(self):
        session = self.foreign_session()
        CHIP.tools("tpm2_createprimary", "-C", "n", "-G", "ecc256", "-c", "foreign.ctx")  # stays loaded
        self.assertEqual(len(self.loaded().split()), 4, self.loaded())  # "- 0x..." twice
        for n in (2, 3, 5):
            _, was_killed = self.killed_at("create", n)
            self.assertTrue(was_killed)
        _, process = self.start("create")
        self.assertEqual(process.wait(harness.TIMEOUT), 0, process.stderr.read())
        process.stderr.close()
        self.assertIn(self.short(session), self.loaded().lower())
        self.assertIn("0x80000000", self.loaded())

    def test_a_process_that_lives(self):
        """It has the same key loaded, and a session: another one that is killed while it loads that key costs it nothing."""
        LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=CA")
        LAB.must(harness.PROGRAM, "csr", "--key", "device.key", "--auth-file", "pw", "--subject", "/CN=localhost", "--san",
                 "DNS:localhost", "-o", "device.csr")
        LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "device.csr", "--profile", "server", "-o", "device.pem")
        with LAB.serve("--auth-file", "pw", "--tickets", "0", key="device") as server:
            def handshake():
                BUS.reset()
                LAB.must(harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem")
                return BUS.codes()
            handshake()
            for n in range(1, 9):
                self.killed_at("use", n)
            _, process = self.start("use")
            self.assertEqual(process.wait(harness.TIMEOUT), 0)
            process.stderr.close()
            self.assertEqual(handshake(), [interposer.SIGN])

    def test_records_of_tpms_that_are_gone(self):
        """They are removed and do not stand before ours; one of a TPM that may be there stays."""
        folder = LAB.path("run/tpmtls/")
        os.makedirs(folder, exist_ok=True)
        for i in range(300):
            with open(folder + "loaded-old%d" % i, "w") as to:
                to.write("swtpm:path=/gone/%d\n80000000 000b%064d\n" % (i, 0))
        with open(folder + "loaded-empty", "w"):  # killed between making it and writing to it
            pass
        with open(folder + "loaded-there", "w") as to:
            to.write("swtpm:host=127.0.0.1,port=1\n80000000 000b%064d\n" % 0)
        self.assertTrue(self.killed_at("use", 2)[1])
        self.assertNotEqual(self.loaded(), "")
        _, process = self.start("use")
        self.assertEqual(process.wait(harness.TIMEOUT), 0)
        process.stderr.close()
        self.assertEqual(self.loaded(), "")
        self.assertEqual(os.listdir(folder), ["loaded-there"])
        os.unlink(folder + "loaded-there")

    def test_a_session_after_a_restart(self):
        """At the number of a dead one's session is somebody else's by now."""
        self.assertTrue(self.killed_at("use", 3)[1])
        record = glob.glob(LAB.path("run/tpmtls/loaded-*"))[0]
        with open(record, encoding="ascii") as at:
            lines = at.read().splitlines()
        session = [line for line in lines if line.startswith("session ")]
        CHIP.cut_power()
        foreign = self.foreign_session()
        # as if it had been started a day ago: the TPM has not run so long
        with open(record, "w", encoding="ascii") as to:
            to.write("%s\nsession %s 0\n" % (lines[0], foreign))
        self.assertLessEqual(len(session), 1)
        LAB.must(harness.PROGRAM, "key", "create", "-o", "after-restart.key")
        self.assertIn(self.short(foreign), self.loaded().lower())


class Refused(Case):
    def test_before_the_handle_is_taken(self):
        """No handle stays without its file."""
        for args in (["-o", "nowhere/key"], ["-o", "device.key"], ["-o", "x.key", "--persist", "0x81900000"]):
            done = LAB.tpmtls("key", "create", *(["--persist", "0x81000020"] if len(args) < 3 else []), *args)
            self.assertNotEqual(done.code, 0)
            self.assertFalse(self.has_handle(), args)
            self.assertEqual(self.loaded(), "")
        self.assertFalse(os.path.exists(LAB.path("x.key")))

    def test_what_the_tpm_refuses_leaves_the_file_and_says_what_to_do(self):
        CHIP.tools("tpm2_changeauth", "-c", "owner", "ownerpw")
        try:
            CHIP.tools("tpm2_createprimary", "-C", "o", "-P", "ownerpw", "-G", "ecc256:aes128cfb", "-c", "srk.ctx", "-a",
                       "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt")
            CHIP.tools("tpm2_evictcontrol", "-C", "o", "-P", "ownerpw", "-c", "srk.ctx", "0x81000001")
            CHIP.tools("tpm2_flushcontext", "-t")
            done = LAB.tpmtls("key", "create", "--persist", "0x81000020", "-o", "kept.key")
            self.assertEqual(done.code, 4, done.err)
            self.assertIn("tpmtls key persist kept.key 0x81000020", done.err)
            LAB.must(harness.PROGRAM, "csr", "--key", "kept.key", "--subject", "/CN=x")
            self.assertFalse(self.has_handle())
        finally:
            CHIP.tools("tpm2_evictcontrol", "-C", "o", "-P", "ownerpw", "-c", "0x81000001")
            CHIP.tools("tpm2_changeauth", "-c", "owner", "-p", "ownerpw", "")


if __name__ == "__main__":
    harness.tap_main()
