"""tests/integration/test_hello.py: our ClientHello beside those of Chromium and Firefox, of which the differences are
printed with their JA4; and what --hello-like browser makes of it. Where a browser is not installed its case is skipped."""

import os
import shutil
import subprocess
import tempfile
import unittest

import harness
import hello

NAME = "secret.example"
# Of TLS 1.2 and below, which is not offered here; ALPS and trust anchor identifiers, which are no standards; padding.
NOT_OURS = {"extended_master_secret", "renegotiation_info", "ec_point_formats", "session_ticket", "0x44cd", "0xca34", "0x4469", "padding"}


def ours(*options):
    def start(port):
        subprocess.run([harness.PROGRAM, "connect", "127.0.0.1:%d" % port, "--servername", NAME, "--alpn", "h2,http/1.1", *options],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=harness.TIMEOUT, check=False)
    return hello.Hello(hello.catch(start))


def browser(command, profile):
    def start(port):
        words = [word % {"port": port, "profile": profile, "name": NAME} for word in command]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=dict(os.environ, HOME=profile), start_new_session=True) as process:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
    return hello.Hello(hello.catch(start, 60))


CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=%(profile)s",
            "--host-resolver-rules=MAP %(name)s 127.0.0.1", "--timeout=2000", "--dump-dom", "https://%(name)s:%(port)d/"]
FIREFOX = ["firefox-esr", "--headless", "--no-remote", "--profile", "%(profile)s", "--screenshot", "%(profile)s/x.png", "https://%(name)s:%(port)d/"]


class Beside(unittest.TestCase):
    def beside(self, command):
        if shutil.which(command[0]) is None:
            self.skipTest("%s is not installed" % command[0])
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            with open(os.path.join(profile, "user.js"), "w", encoding="ascii") as f:
                f.write('user_pref("network.dns.localDomains", "%s");\n' % NAME)
            theirs = browser(command, profile)
        like, own = ours("--hello-like", "browser"), ours()
        for title, one in (("own", own), ("--hello-like browser", like)):
            for line in hello.differences(one, theirs):
                print("# %s, %s: %s" % (command[0], title, line))
        return theirs, like, own

    def missing(self, theirs, one):
        return {hello.name(kind) for kind in theirs.types() if kind not in one.types()} - NOT_OURS

    def test_chromium(self):
        theirs, like, own = self.beside(CHROMIUM)
        self.assertEqual(self.missing(theirs, like), set())
        self.assertNotEqual(self.missing(theirs, own), set())  # that this shows something
        self.assertEqual({hello.name(kind) for kind in like.types() if kind not in theirs.types()}, set())
        self.assertEqual(len(like.types(True)), len(theirs.types(True)))
        if 0x11ec in like.list_of(hello.GROUPS):  # libcrypto 3.5 has ML-KEM and ML-DSA
            self.assertEqual(hello.plain(like.list_of(hello.GROUPS)), hello.plain(theirs.list_of(hello.GROUPS)))
            self.assertEqual(hello.plain(like.shares()), hello.plain(theirs.shares()))
        mldsa = (0x0904, 0x0905, 0x0906)
        self.assertEqual(*[[v for v in one.list_of(hello.SCHEMES) if not hello.is_reserved(v) and v not in mldsa] for one in (like, theirs)])
        self.assertEqual([v for v in theirs.suites if 0x1301 <= v <= 0x1303], [v for v in like.suites if 0x1301 <= v <= 0x1303])

    def test_firefox(self):
        """It also has delegated credentials and record_size_limit, which Chromium has not."""
        theirs, like, own = self.beside(FIREFOX)
        self.assertLessEqual(self.missing(theirs, like), {"delegated_credential", "record_size_limit"})
        self.assertIn("compress_certificate", self.missing(theirs, own) | {hello.name(kind) for kind in own.types()})


class Own(unittest.TestCase):
    def test_ja4(self):
        """Two of ours have one JA4, whatever their order and reserved values are; --hello-like gives another."""
        first, second = ours(), ours()
        self.assertNotEqual([kind for kind, _ in first.extensions], [kind for kind, _ in second.extensions])
        self.assertEqual(first.ja4(), second.ja4())
        self.assertRegex(first.ja4(), "^t13d03[0-9]{2}h2_[0-9a-f]{12}_[0-9a-f]{12}$")
        self.assertNotEqual(first.ja4(), ours("--hello-like", "browser").ja4())

    def test_like_a_browser(self):
        like, own = ours("--hello-like", "browser"), ours()
        for kind in (5, 18, 0xfe0d):
            self.assertIn(kind, like.types())
        self.assertNotIn(0xfe0d, own.types())
        self.assertNotIn(50, like.types())
        self.assertIn(50, own.types())
        schemes = like.list_of(hello.SCHEMES)
        self.assertEqual(schemes[schemes.index(0x0804) + 1], 0x0401)
        self.assertNotIn(0x0401, own.list_of(hello.SCHEMES))
        self.assertEqual(like.protocols(), [b"h2", b"http/1.1"])
        self.assertEqual(len(own.protocols()), 3)  # a reserved one behind
        self.assertEqual(like.data(45), b"\x01\x01")

    def test_what_is_said_goes_before_it(self):
        one = ours("--hello-like", "browser", "--groups", "secp256r1")
        self.assertEqual([g for g in one.list_of(hello.GROUPS) if not hello.is_reserved(g)], [0x0017])

    def test_it_connects(self):
        lab = harness.Lab()
        self.addCleanup(lab.close)
        lab.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
        lab.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
        lab.must(harness.PROGRAM, "csr", "--key", "soft.key", "--subject", "/CN=x", "--san", "DNS:localhost", "-o", "s.csr")
        lab.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "s.csr", "--profile", "server", "-o", "s.pem")
        with lab.background(harness.PROGRAM, "--json", "serve", "127.0.0.1:0", "--key", "soft.key", "--cert", "s.pem") as server:
            port = server.wait_for(r'"address":"[^"]*:(\d+)"').group(1)
            result = lab.tpmtls("--json", "connect", "127.0.0.1:" + port, "--servername", "localhost", "--ca", "ca/ca.pem", "--hello-like",
                                "browser", stdin=b"hello\n")
            self.assertEqual((result.code, result.out), (0, b"hello\n"), result.err)
            self.assertEqual(result.events("connected")[0]["ech"], "grease")


if __name__ == "__main__":
    harness.tap_main()
