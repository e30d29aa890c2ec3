"""tests/integration/test_rollover.py: `tpmtls ca rollover` before devices, openssl and a service that runs: who trusts the old key
follows, what it vouched for goes on, and nobody who is killed leaves less than a CA."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
import unittest
import urllib.request

import harness
from harness import PROGRAM

LAB = None


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.env["XDG_STATE_HOME"] = LAB.path("state")


def tearDownModule():
    LAB.close()


def crl_good(path, root, *form):
    """The exit code of OpenSSL 3.0 is 0 either way."""
    checked = LAB.must("openssl", "crl", *form, "-in", path, "-CAfile", root, "-noout")
    assert "verify OK" in checked.out.decode() + checked.err, checked.err


def key_id(pem):
    return LAB.must("openssl", "x509", "-in", pem, "-noout", "-ext", "subjectKeyIdentifier").out.decode().splitlines()[1].strip().replace(":", "").lower()


class Case(unittest.TestCase):
    def setUp(self):
        for name in ("state", "work"):
            shutil.rmtree(LAB.path(name), ignore_errors=True)
        os.mkdir(LAB.path("work"))

    def ca(self, *args, code=0, says=""):
        result = LAB.tpmtls("ca", *args)
        self.assertEqual(result.code, code, result.err)
        self.assertIn(says, result.err)
        self.assertNotIn("Sanitizer", result.err)
        return result

    def json(self, *args):
        return json.loads(LAB.must(PROGRAM, "--json", "ca", *args).out)

    def init(self, *options, folder="work/ca", subject="/CN=Our CA"):
        self.ca("init", "--dir", folder, "--subject", subject, *options)

    def leaf(self, name, folder="work/ca", *options):
        LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "work/%s.key" % name)
        LAB.must("openssl", "req", "-new", "-key", "work/%s.key" % name, "-subj", "/CN=%s" % name, "-out", "work/%s.csr" % name)
        self.ca("sign", "--dir", folder, "work/%s.csr" % name, "-o", "work/%s.pem" % name, *options)
        return LAB.must("openssl", "x509", "-in", "work/%s.pem" % name, "-noout", "-serial").out.decode().strip().split("=")[1]

    @staticmethod
    def cross(subject, issuer):
        """The certificate of this key by that one, among those that are handed out."""
        for text in LAB.read("work/ca/rollover.pem").split(b"-----BEGIN")[1:]:
            LAB.write("work/one.pem", b"-----BEGIN" + text)
            said = LAB.must("openssl", "x509", "-in", "work/one.pem", "-noout", "-ext", "authorityKeyIdentifier").out.decode().replace(":", "").lower()
            if key_id("work/one.pem") == subject and issuer in said:
                return LAB.read("work/one.pem")
        raise AssertionError("no certificate of %s by %s" % (subject, issuer))

    @staticmethod
    def verify(leaf, root, *options):
        return LAB.run("openssl", "verify", "-x509_strict", "-CAfile", root, *options, "work/%s.pem" % leaf)

    def good(self, leaf, root, *options):
        result = self.verify(leaf, root, *options)
        self.assertEqual(result.code, 0, result.err)


class ByHand(Case):
    def test_a_root(self):
        """Old and new leaves before old and new root; CRLs of both keys; the log."""
        self.init("--crl-url", "http://ca.example/ca-{key}.crl", "--issuer-url", "http://ca.example/ca-{key}.cer")
        self.leaf("old")
        shutil.copy(LAB.path("work/ca/ca.pem"), LAB.path("work/root1.pem"))
        said = self.json("rollover", "--dir", "work/ca", "--days", "400")
        self.assertEqual(said["former"][0]["keyId"], key_id("work/root1.pem"))
        self.assertEqual(said["former"][0]["certificates"], 1)
        self.leaf("new", "work/ca", "--chain")
        root2, more = "work/ca/ca.pem", ("-untrusted", "work/ca/rollover.pem")
        self.good("old", "work/root1.pem")
        self.good("new", root2)
        self.good("old", root2, *more)
        self.good("new", "work/root1.pem", "-untrusted", "work/new.pem")  # NewWithOld came with it
        self.assertNotEqual(self.verify("new", "work/root1.pem").code, 0)
        self.assertNotEqual(self.verify("old", root2).code, 0)
        # Each leaf names the CRL, and the issuer, of the key that signed it.
        for leaf, root in (("old", "work/root1.pem"), ("new", root2)):
            text = LAB.must("openssl", "x509", "-in", "work/%s.pem" % leaf, "-noout", "-text").out.decode()
            self.assertIn("http://ca.example/ca-%s.crl" % key_id(root), text)
            self.assertIn("http://ca.example/ca-%s.cer" % key_id(root), text)
        # Revoked: both keys say so, each to those who believe it.
        serial = LAB.must("openssl", "x509", "-in", "work/old.pem", "-noout", "-serial").out.decode().strip().split("=")[1]
        for revoked in (False, True):
            if revoked:
                self.ca("revoke", "--dir", "work/ca", "--reason", "superseded", serial)
            self.ca("crl", "--dir", "work/ca", "--force", "-o", "work/crl2.pem")
            self.ca("crl", "--dir", "work/ca", "--force", "-o", "work/crl1.pem", "--key-id", key_id("work/root1.pem"))
            for options in (("work/root1.pem", "-crl_check", "-CRLfile", "work/crl1.pem"), (root2, *more, "-crl_check", "-CRLfile", "work/crl2.pem")):
                result = self.verify("old", *options)
                self.assertEqual(result.code == 0, not revoked, result.err)
                self.assertEqual("certificate revoked" in result.err, revoked, result.err)
        self.ca("crl", "--dir", "work/ca", "--key-id", "00" * 20, code=1, says="no key with the identifier")
        act = [json.loads(line) for line in self.ca("audit", "list", "--dir", "work/ca").out.decode().splitlines()]
        self.assertEqual([a["act"] for a in act].count("rollover"), 1)
        self.ca("audit", "verify", "--dir", "work/ca")
        self.assertIn("former key:", self.ca("show", "--dir", "work/ca").out.decode())
        self.assertFalse(os.path.exists(LAB.path("work/ca/next.key")))
        for name in os.listdir(LAB.path("work/ca")):
            if name.endswith(".key"):
                self.assertEqual(os.stat(LAB.path("work/ca/" + name)).st_mode & 0o777, 0o600)

    def test_twice(self):
        self.init()
        self.leaf("first")
        roots = []
        for i in range(2):
            shutil.copy(LAB.path("work/ca/ca.pem"), LAB.path("work/root%d.pem" % i))
            roots.append("work/root%d.pem" % i)
            self.leaf("leaf%d" % i)
            self.ca("rollover", "--dir", "work/ca")
        self.leaf("third", "work/ca", "--chain")
        more = ("-untrusted", "work/ca/rollover.pem")
        self.good("third", "work/ca/ca.pem")
        self.good("third", roots[1], "-untrusted", "work/third.pem")
        self.good("first", "work/ca/ca.pem", *more)
        # The whole way back: OpenSSL does not try a second path, so it gets those that lead there.
        ids = [key_id(root) for root in (*roots, "work/ca/ca.pem")]
        LAB.write("work/up.pem", b"".join(self.cross(ids[i + 1], ids[i]) for i in range(2)))
        self.good("third", roots[0], "-untrusted", "work/up.pem")
        self.assertEqual(len(self.json("show", "--dir", "work/ca")["former"]), 2)
        for root in roots:
            self.ca("crl", "--dir", "work/ca", "--force", "-o", "work/crl.pem", "--key-id", key_id(root))
            crl_good("work/crl.pem", root)

    def test_without_the_former_key(self):
        """It is offline: the new one works, and says what is missing."""
        self.init()
        self.leaf("old")
        self.ca("rollover", "--dir", "work/ca")
        os.rename(LAB.path("work/ca/ca.key"), LAB.path("work/safe.key"))
        self.leaf("new")
        self.ca("crl", "--dir", "work/ca", "-o", "work/crl.pem", says="former key cannot be used")
        os.rename(LAB.path("work/safe.key"), LAB.path("work/ca/ca.key"))
        self.ca("crl", "--dir", "work/ca", "--force", "-o", "work/crl.pem")

    def test_below_another(self):
        """The root stays: the issuing CA's new certificate comes from it."""
        self.init("--path-length", "1", folder="work/root", subject="/CN=Root")
        self.init("--parent", "work/root", subject="/CN=Issuing CA")
        self.init("--path-length", "1", folder="work/other", subject="/CN=Another root")
        self.leaf("old", "work/ca", "--chain")
        self.ca("rollover", "--dir", "work/ca", code=2, says="stands below another")
        self.ca("rollover", "--dir", "work/ca", "--parent", "work/other", code=2, says="is not from the CA above that was named")
        self.ca("rollover", "--dir", "work/ca", "--parent", "work/root")
        self.leaf("new", "work/ca", "--chain")
        for leaf in ("old", "new"):
            self.good(leaf, "work/root/ca.pem", "-untrusted", "work/%s.pem" % leaf)
        self.good("old", "work/root/ca.pem", "-untrusted", "work/ca/rollover.pem")  # the former certificate is handed out
        listed = [c for c in self.json("list", "--dir", "work/root") if c["subject"] == "CN=Issuing CA"]
        self.assertEqual(len(listed), 2)

    def test_into_a_tpm(self):
        self.init()
        self.leaf("old")
        LAB.must(PROGRAM, "key", "create", "-o", "work/tpm.key")
        self.ca("rollover", "--dir", "work/ca", "--key", "work/tpm.key")
        self.leaf("new")
        self.good("new", "work/ca/ca.pem")
        self.good("old", "work/ca/ca.pem", "-untrusted", "work/ca/rollover.pem")
        LAB.must(PROGRAM, "key", "create", "-o", "work/tpm2.key")
        self.ca("rollover", "--dir", "work/ca", "--key", "work/tpm2.key")  # from one key in the TPM to another
        self.leaf("newer")
        self.good("newer", "work/ca/ca.pem")
        self.ca("crl", "--dir", "work/ca", "-o", "work/crl.pem")
        self.ca("rollover", "--dir", "work/ca", "--key", "work/tpm2.key", code=2, says="that is the key that the CA has")
        self.ca("rollover", "--dir", "work/ca", "--key", "work/ca/ca.key", code=2, says="had that key before")

    def test_below_another_in_a_tpm(self):
        for name in ("root", "ca", "next"):
            LAB.must(PROGRAM, "key", "create", "-o", "work/%s.key" % name)
        self.init("--path-length", "1", "--key", "work/root.key", folder="work/root", subject="/CN=Root")
        self.init("--parent", "work/root", "--key", "work/ca.key", subject="/CN=Issuing CA")
        self.leaf("old", "work/ca", "--chain")
        self.ca("rollover", "--dir", "work/ca", "--parent", "work/root", "--key", "work/next.key")
        self.leaf("new", "work/ca", "--chain")
        for leaf in ("old", "new"):
            self.good(leaf, "work/root/ca.pem", "-untrusted", "work/%s.pem" % leaf)

    def test_refusals(self):
        self.init()
        self.ca("rollover", "--dir", "work/ca", "--parent", "work/ca", code=2, says="is a root")
        self.ca("rollover", "--dir", "work/none", code=1, says="is not a CA")
        self.ca("rollover", "--dir", "work/ca", "--key", "work/none", code=1)
        LAB.must("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", "work/weak.key")
        self.assertNotEqual(LAB.tpmtls("ca", "rollover", "--dir", "work/ca", "--key", "work/weak.key").code, 0)
        before = LAB.read("work/ca/ca.pem")
        self.leaf("a")
        self.assertEqual(before, LAB.read("work/ca/ca.pem"))
        self.assertFalse(os.path.exists(LAB.path("work/ca/rollover.pem")))


class Killed(Case):
    def test_at_any_moment(self):
        """kill -9: the old CA or the new one, both whole; the same command brings it to its end."""
        rng = random.Random(7)
        self.init()
        self.leaf("first")
        shutil.copytree(LAB.path("work/ca"), LAB.path("work/kept"))
        start = time.monotonic()
        self.ca("rollover", "--dir", "work/ca")
        took = time.monotonic() - start
        old, new = 0, 0
        for _ in range(int(os.environ.get("TPMTLS_KILL_ROUNDS", "30"))):
            shutil.rmtree(LAB.path("work/ca"))
            shutil.copytree(LAB.path("work/kept"), LAB.path("work/ca"))
            before = LAB.read("work/ca/ca.pem")
            child = subprocess.Popen([PROGRAM, "ca", "rollover", "--dir", "work/ca"], env=LAB.env, cwd=LAB.dir, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            time.sleep(took * rng.random())
            child.send_signal(signal.SIGKILL)
            child.wait()
            switched = LAB.read("work/ca/ca.pem") != before
            old, new = old + (not switched), new + switched
            self.leaf("leaf", "work/ca", "--force")
            self.good("leaf", "work/ca/ca.pem")
            self.ca("crl", "--dir", "work/ca", "--force", "-o", "work/crl.pem")
            self.ca("audit", "verify", "--dir", "work/ca")
            self.ca("rollover", "--dir", "work/ca")
            self.leaf("leaf", "work/ca", "--force")
            self.good("leaf", "work/ca/ca.pem")
            self.good("first", "work/ca/ca.pem", "-untrusted", "work/ca/rollover.pem")
            self.assertFalse(os.path.exists(LAB.path("work/ca/next.key")))
        print("# killed while it was the old CA: %d, the new one: %d" % (old, new))


class Service(Case):
    """Devices, while the service runs."""

    def begin(self):
        self.init("--crl-url", "http://127.0.0.1/ca-{key}.crl")
        LAB.must(PROGRAM, "key", "create", "-o", "work/server.key")
        LAB.must(PROGRAM, "csr", "--key", "work/server.key", "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", "work/server.csr")
        self.ca("sign", "--dir", "work/ca", "work/server.csr", "--profile", "server", "-o", "work/server.pem")
        LAB.write("work/ca.conf", "\n".join(["[ca]", "dir = work/ca", "listen = 127.0.0.1:0", "publish = 127.0.0.1:0", "key = work/server.key",
                                             "cert = work/server.pem", ""]))
        self.server = harness.Background([PROGRAM, "ca", "serve", "work/ca.conf"], LAB.env, LAB.dir)
        self.addCleanup(self.server.stop)
        self.port = int(self.server.wait_for(r"event=listening address=127.0.0.1:(\d+) for=est").group(1))
        self.clear = int(self.server.wait_for(r"event=listening address=127.0.0.1:(\d+) for=publish").group(1))

    def enroll(self, name, *ca):
        said = self.json("token", "create", "--dir", "work/ca")
        LAB.write("work/token", said["token"] + "\n")
        os.chmod(LAB.path("work/token"), 0o600)
        return LAB.tpmtls("enroll", "--server", "localhost:%d" % self.port, *ca, "--key", "work/%s.key" % name, "--subject", "/CN=%s" % name, "-o",
                          "work/%s.pem" % name, "--token-file", "work/token")

    def fetch(self, path, out):
        with urllib.request.urlopen("http://127.0.0.1:%d/%s" % (self.clear, path), timeout=30) as answer:
            LAB.write(out, answer.read())

    def ocsp(self, leaf, issuer):
        LAB.must("openssl", "ocsp", "-issuer", issuer, "-cert", "work/%s.pem" % leaf, "-no_nonce", "-reqout", "work/ocsp.req")
        request = urllib.request.Request("http://127.0.0.1:%d/ocsp" % self.clear, LAB.read("work/ocsp.req"), {"Content-Type": "application/ocsp-request"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            LAB.write("work/ocsp.der", answer.read())
        return LAB.run("openssl", "ocsp", "-issuer", issuer, "-cert", "work/%s.pem" % leaf, "-respin", "work/ocsp.der", "-CAfile", issuer)

    def test_devices_follow(self):
        self.begin()
        shutil.copy(LAB.path("work/ca/ca.pem"), LAB.path("work/root1.pem"))
        self.assertEqual(self.enroll("device", "--ca", "work/root1.pem").code, 0)
        shutil.copy(LAB.path("work/device.pem"), LAB.path("work/before.pem"))
        time.sleep(1.1)
        self.ca("rollover", "--dir", "work/ca")
        self.server.wait_for(r"event=reloaded")
        renewed = LAB.tpmtls("renew", "--force", "device")
        self.assertEqual(renewed.code, 0, renewed.err)
        self.assertIn("the old one vouches", renewed.err)
        self.good("device", "work/ca/ca.pem")
        self.good("device", "work/root1.pem", "-untrusted", "work/device.pem")  # peers who have not heard of it
        self.good("before", "work/ca/ca.pem", "-untrusted", "work/ca/rollover.pem")
        time.sleep(1.1)
        again = LAB.tpmtls("renew", "--force", "device")
        self.assertEqual(again.code, 0, again.err)
        # A device that knows the old root alone enrols; with a certificate of the service by the new key, one that knows the new one, too.
        self.assertEqual(self.enroll("late", "--ca", "work/root1.pem").code, 0)
        self.ca("sign", "--dir", "work/ca", "work/server.csr", "--profile", "server", "--chain", "-o", "work/server.pem")
        self.server.wait_for(r"event=reloaded[\s\S]*event=reloaded")
        for name, root in (("fresh", "work/ca/ca.pem"), ("older", "work/root1.pem")):
            result = self.enroll(name, "--ca", root)
            self.assertEqual(result.code, 0, result.err)
        # What the old key vouched for it goes on vouching for.
        for root, leaf in (("work/root1.pem", "before"), ("work/ca/ca.pem", "fresh")):
            self.fetch("ca-%s.crl" % key_id(root), "work/crl.der")
            crl_good("work/crl.der", root, "-inform", "DER")
            self.fetch("ca-%s.cer" % key_id(root), "work/own.der")
            LAB.must("openssl", "x509", "-inform", "DER", "-in", "work/own.der", "-out", "work/own.pem")
            self.assertEqual(key_id("work/own.pem"), key_id(root))
            said = self.ocsp(leaf, root)
            self.assertIn("work/%s.pem: good" % leaf, said.out.decode(), said.err)
            self.assertIn("Response verify OK", said.err)
        serial = LAB.must("openssl", "x509", "-in", "work/before.pem", "-noout", "-serial").out.decode().strip().split("=")[1]
        self.ca("revoke", "--dir", "work/ca", serial)
        time.sleep(5.5)
        self.assertIn("revoked", self.ocsp("before", "work/root1.pem").out.decode())
        self.fetch("ca-%s.crl" % key_id("work/root1.pem"), "work/crl.der")
        self.assertIn(serial, LAB.must("openssl", "crl", "-inform", "DER", "-in", "work/crl.der", "-noout", "-text").out.decode())
        self.ca("audit", "verify", "--dir", "work/ca")


if __name__ == "__main__":
    harness.tap_main()
