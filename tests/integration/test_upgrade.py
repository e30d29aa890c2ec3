"""What earlier versions wrote (tests/fixtures/VERSION, made by tests/fixtures/make) is read by this one: key files of every kind on
the TPM they belong to, sealed data, the CA's store, ticket keys with sessions that resume, PSKs, ECH keys, identities. The
clock is that of the day they were made, for what has an end."""
import glob
import json
import os
import shutil
import socket
import sys
import unittest

import harness
from harness import PROGRAM, ROOT

FIXTURES = os.path.join(ROOT, "tests", "fixtures")
CLOCK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static time_t offset(void) { const char *t = getenv("CLOCK_OFFSET"); return t ? strtoll(t, 0, 10) : 0; }
int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rc = syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && id == CLOCK_REALTIME)
        ts->tv_sec += offset();
    return (int)rc;
}
time_t time(time_t *ret)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}
int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec ts;
    (void)tz;
    clock_gettime(CLOCK_REALTIME, &ts);
    *tv = (struct timeval){ts.tv_sec, ts.tv_nsec / 1000};
    return 0;
}
"""


class Old(harness.Lab):
    """A copy of the fixtures of one version, with their TPM, on the day they were made (600 s later)."""

    def __init__(self, version):
        super().__init__()
        shutil.rmtree(self.dir)
        shutil.copytree(os.path.join(FIXTURES, version), self.dir)
        for at, dirs, files in os.walk(self.dir):
            os.chmod(at, 0o700)
            for name in files:
                os.chmod(os.path.join(at, name), 0o600)
        self.env.update(TPMTLS_TPM="embedded:" + self.path("tpm"), XDG_STATE_HOME=self.path("state"),
                        TPMTLS_IDENTITIES=self.path("identities"))
        self.write("clock.c", CLOCK)
        self.must("cc", "-shared", "-fPIC", "-w", "-o", "clock.so", "clock.c")
        made = int(self.read("made"))
        offset = made + 600 - int(self.must("date", "+%s").out)
        self.then = {"LD_PRELOAD": self.path("clock.so"), "CLOCK_OFFSET": str(offset)}
        # The sanitizer wants to be first, and takes another one's clock for no fault.
        self.then["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")

    def on_that_day(self, *args, **kw):
        done = self.run(PROGRAM, *args, env=self.then, **kw)
        if done.code != 0:
            raise AssertionError("%s: exit code %d\n%s" % (" ".join(args), done.code, done.err))
        return done

    def serve_then(self, port, *args):
        server = harness.Background((PROGRAM, "--json", "serve", "localhost:%d" % port, *args, "--echo"),
                                    dict(self.env, **self.then), self.dir)
        server.wait_for('"listening"')
        return server


def taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class Upgrade:
    """The tests for one version."""

    version = None

    @classmethod
    def setUpClass(cls):
        cls.lab = Old(cls.version)
        cls.before = {24431: [], 24432: []}
        for path in glob.glob(cls.lab.path("state/tpmtls/sessions/*.json")):
            with open(path, encoding="utf-8") as f:
                one = json.load(f)
            cls.before[int(one["peer"].split(":")[1])].append((one["received_ms"], one["config"]))

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()

    def test_the_day(self):
        """The control: without the clock of that day a session is one of another time, if that day is a while ago."""
        date = self.lab.must("date", "+%s", env=self.lab.then)
        self.assertLess(abs(int(date.out) - int(self.lab.read("made")) - 600), 120)

    def test_keys_sign(self):
        for name, *how in (["device-p256"], ["device-rsa2048"], ["password", "--auth-file", "password"], ["pcr"], ["signed"], ["imported"],
                           ["wrapped"], ["server"]):
            out = self.lab.must(PROGRAM, "csr", "--key", name + ".key", "--subject", "/CN=" + name, *how).out
            self.assertIn(b"BEGIN CERTIFICATE REQUEST", out)
        self.lab.must(PROGRAM, "csr", "--key", "handle:0x81000010", "--subject", "/CN=kept")
        # They are the keys that were certified then.
        self.lab.must(PROGRAM, "identity", "add", "again", "--key", "device-rsa2048.key", "--cert", "device-rsa2048.pem")

    def test_key_show(self):
        for name in ("device-p256", "password", "pcr", "signed", "wrapped"):
            shown = json.loads(self.lab.must(PROGRAM, "--json", "key", "show", name + ".key").out)
            self.assertEqual(shown["loadable_here"], "yes")
        self.assertEqual(json.loads(self.lab.must(PROGRAM, "--json", "key", "show", "device-p256.key").out)["description"],
                         "of " + self.version)

    def test_another_tpm_does_not(self):
        """The control: it is their TPM that makes them load."""
        done = self.lab.tpmtls("csr", "--key", "device-p256.key", "--subject", "/CN=x", env={"TPMTLS_TPM": "embedded:" + self.lab.path("other")})
        self.assertEqual(done.code, 4)

    def test_sealed(self):
        self.assertEqual(self.lab.must(PROGRAM, "key", "unseal", "sealed.pem").out, b"what was sealed")

    def test_policy_can_be_renewed(self):
        self.lab.must(PROGRAM, "policy", "sign", "signed.key", "--policy-key", "policy.key", "--pcr", "sha256:16", "--name", "second")

    def test_ca(self):
        entries = json.loads(self.lab.must(PROGRAM, "--json", "ca", "list", "--dir", "ca").out)
        self.assertGreaterEqual(len(entries), 3)
        self.lab.must("openssl", "req", "-new", "-key", "soft.key", "-subj", "/CN=new", "-out", "new.csr")
        self.lab.on_that_day("ca", "sign", "--dir", "ca", "new.csr", "-o", "new.pem")
        more = json.loads(self.lab.must(PROGRAM, "--json", "ca", "list", "--dir", "ca").out)
        self.assertEqual(len(more), len(entries) + 1)

    def test_identities(self):
        found = {one["name"]: one for one in json.loads(self.lab.must(PROGRAM, "--json", "identity", "list").out)}
        self.assertEqual((found["vpn"]["subject"], "broken" in found["vpn"]), ("CN=device-p256,O=Example", False))

    def rules(self, port):
        """({what the sessions of the fixture were kept under}, what the newest is)."""
        sessions = []
        for path in glob.glob(self.lab.path("state/tpmtls/sessions/*.json")):
            with open(path, encoding="utf-8") as f:
                one = json.load(f)
            if one["peer"] == "localhost:%d" % port:
                sessions.append((one["received_ms"], one["config"]))
        return {config for _, config in self.before[port]}, max(sessions)[1]

    def test_sessions_are_listed(self):
        listed = json.loads(self.lab.on_that_day("--json", "session", "list").out)
        self.assertEqual({one["mode"] for one in listed}, {"sealed", "held"})
        self.assertEqual({one["peer"] for one in listed}, {"localhost:24431", "localhost:24432"})

    def test_sessions_resume(self):
        """Kept by the old client, with tickets of the old server's keys."""
        for mode, port, keys in (("sealed", 24431, "ticket.key"), ("held", 24432, "ticket-tpm.key")):
            if taken(port):
                self.skipTest("somebody listens on port %d" % port)
            with self.lab.serve_then(port, "--key", "server.key", "--cert", "server.pem", "--ticket-key", keys, "--ticket-lifetime", "604800"):
                done = self.lab.on_that_day("--json", "connect", "localhost:%d" % port, "--ca", "ca/ca.pem", "--resume", mode, stdin=b"hi")
            self.assertEqual(done.out, b"hi")
            # Where this version judges a peer by other rules, sessions that rest on the old ones do not count any more.
            kept, now = self.rules(port)
            self.assertEqual([event["resumed"] for event in done.events("connected")], [now in kept], mode)

    def test_psks(self):
        for kind in ("psk", "psk-software"):
            with self.lab.serve_then(0, "--psk", kind + "-server.pem") as server:
                port = server.wait_for(r'"address":"[^"]*:(\d+)"').group(1)
                done = self.lab.on_that_day("--json", "connect", "localhost:" + port, "--psk", kind + "-client.pem", stdin=b"hi")
            self.assertEqual(done.out, b"hi")
            self.assertIn("meter-7", done.events("connected")[0]["psk"])

    def test_ech(self):
        for name in ("server.ech", "server-tpm.ech"):
            with self.lab.serve_then(0, "--key", "server.key", "--cert", "server.pem", "--ech-key", name) as server:
                port = server.wait_for(r'"address":"[^"]*:(\d+)"').group(1)
                done = self.lab.on_that_day("--json", "connect", "localhost:" + port, "--ca", "ca/ca.pem", "--ech", name, "--ech-required",
                                            stdin=b"hi")
            self.assertEqual(done.events("connected")[0]["ech"], "accepted")


for directory in sorted(glob.glob(os.path.join(FIXTURES, "*", "made"))):
    found_version = os.path.basename(os.path.dirname(directory))
    group = "V" + found_version.replace(".", "_")
    setattr(sys.modules[__name__], group, type(group, (Upgrade, unittest.TestCase), {"version": found_version}))


class Fixtures(unittest.TestCase):
    def test_this_version_has_some(self):
        """A release that changed nothing that is written need not have its own, but 0.2.0 is there."""
        self.assertTrue(os.path.exists(os.path.join(FIXTURES, "0.2.0", "made")))


if __name__ == "__main__":
    harness.tap_main()
