"""tests/integration/test_certmonger.py: certmonger, the real one on a bus of its own, gets and renews its certificate from `tpmtls ca
serve` by examples/certmonger/est-submit; what a person has to approve, and what is refused."""

import os
import shutil
import unittest

import harness
from harness import PROGRAM, ROOT

LAB = None
HELPER = os.path.join(ROOT, "examples", "certmonger", "est-submit")
BY_HAND = "\n[by-hand]\ndays = 90\nkey-usage = digitalSignature\npurposes = clientAuth\napproval = always\n"


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.must(PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Example CA")
    LAB.write("ca/profiles.ini", LAB.read("ca/profiles.ini").decode() + BY_HAND)
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "server.key")
    os.chmod(LAB.path("server.key"), 0o600)
    LAB.must("openssl", "req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", "server.csr")
    LAB.must(PROGRAM, "ca", "sign", "--dir", "ca", "--profile", "server", "server.csr", "-o", "server.pem")
    LAB.write("ca.conf", "[ca]\ndir = ca\nlisten = 127.0.0.1:0\nkey = server.key\ncert = server.pem\nretry-after = 1\n")


def tearDownModule():
    LAB.close()


@unittest.skipUnless(shutil.which("certmonger") and shutil.which("dbus-run-session"), "certmonger or dbus-run-session is not installed (./dev setup test)")
class Certmonger(unittest.TestCase):
    def setUp(self):
        self.service = LAB.background(PROGRAM, "ca", "serve", "ca.conf")
        self.addCleanup(self.service.stop)
        self.port = self.service.wait_for(r"address=127.0.0.1:(\d+) for=est").group(1)
        for name in ("home", "device.key", "device.pem"):
            shutil.rmtree(LAB.path(name), ignore_errors=True)
            if os.path.exists(LAB.path(name)):
                os.unlink(LAB.path(name))
        os.mkdir(LAB.path("home"))

    def token(self, *options):
        LAB.write("token", "device:" + LAB.must(PROGRAM, "ca", "token", "create", "--dir", "ca", *options).out.decode().split()[-1] + "\n")

    def session(self, *commands, label=""):
        """Lines of shell beside a certmonger of their own."""
        here = LAB.path(".")
        # Not one that the bus starts: that would be left behind, with the user's own files.
        owner = ("dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner string:org.fedorahosted.certmonger | "
                 "grep -q true")
        script = ["set -u", "certmonger -s -n -B 2>certmonger.log &", "daemon=$!", "trap 'kill $daemon; wait $daemon' EXIT",
                  "for i in $(seq 200); do %s && break; sleep 0.1; done" % owner,
                  "getcert add-ca -s -c est -e '%s https://localhost:%s%s %s/ca/ca.pem %s/token %s/device.key'" % (HELPER, self.port, label, here, here, here),
                  *commands]
        LAB.write("session.sh", "\n".join(script) + "\n")
        places = {"CERTMONGER_%sDIR" % place: LAB.path("home") for place in ("CONFIG_", "TMP")}
        for place in ("REQUESTS", "CAS", "LOCAL_CA"):
            places["CERTMONGER_%s_DIR" % place] = LAB.path("home/" + place)
            os.mkdir(LAB.path("home/" + place))
        return LAB.must("env", "HOME=" + LAB.path("home"), *("%s=%s" % place for place in places.items()), "dbus-run-session", "--", "sh",
                        "session.sh").out.decode()

    @staticmethod
    def request(*options):
        return " ".join(["getcert request -s -c est -k %s -f %s -N CN=device-1 -G EC -g 256 -I one" % (LAB.path("device.key"), LAB.path("device.pem")), *options])

    def test_enrolled_and_renewed(self):
        """By a token that is good once, then by the certificate."""
        before = LAB.must(PROGRAM, "ca", "list", "--dir", "ca").out.decode().count("CN=device-1")
        self.token("--subject", "device-1")
        said = self.session(self.request("-w", "-v"), "cp device.pem first.pem", "getcert resubmit -s -i one -w -v", "getcert list -s")
        self.assertIn("status: MONITORING", said)
        LAB.must("openssl", "verify", "-CAfile", "ca/ca.pem", "first.pem", "device.pem")
        self.assertNotEqual(LAB.read("first.pem"), LAB.read("device.pem"))
        self.assertEqual(LAB.must(PROGRAM, "ca", "list", "--dir", "ca").out.decode().count("CN=device-1"), before + 2)

    def test_a_person_approves(self):
        self.token("--profile", "by-hand")
        waits = "for i in $(seq 200); do getcert list -s | grep -q 'status: CA_WORKING' && break; sleep 0.1; done"
        said = self.session(self.request(), waits, "getcert list -s",
                            "%s ca approve --dir ca $(%s ca pending --dir ca | sed -n '2s/ .*//p')" % (PROGRAM, PROGRAM),
                            "for i in $(seq 200); do getcert list -s | grep -q 'status: MONITORING' && break; sleep 0.1; done", "getcert list -s")
        self.assertIn("status: CA_WORKING", said)
        self.assertIn("status: MONITORING", said)

    def test_refused(self):
        self.token("--subject", "somebody-else")
        said = self.session(self.request("-w") + " || true", "getcert list -s")
        self.assertIn("status: CA_REJECTED", said)
        self.assertIn("name-not-allowed", said)


if __name__ == "__main__":
    harness.tap_main()
