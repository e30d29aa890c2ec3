"""tests/integration/test_files.py: what cannot be made again is never written over, whichever command writes; what can,
gives way to its own kind only, or to --force."""

import json
import os
import signal
import subprocess
import unittest

import harness

LAB = None


def setUpModule():
    global LAB
    LAB = harness.Lab()
    ok = LAB.must
    ok(harness.PROGRAM, "key", "create", "-o", "device.key")
    ok(harness.PROGRAM, "csr", "--key", "device.key", "--subject", "/CN=d", "-o", "device.csr")
    ok(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=ca")
    ok(harness.PROGRAM, "ca", "sign", "--dir", "ca", "device.csr", "-o", "device.pem")
    ok(harness.PROGRAM, "ticket-key", "-o", "ticket.key")
    ok(harness.PROGRAM, "ticket-key", "-o", "ticket.root", "--in-tpm")
    ok(harness.PROGRAM, "psk", "import", "--identity", "x", "--software", "--binary", "-o", "psk.pem", stdin=os.urandom(32))
    ok(harness.PROGRAM, "key", "seal", "-o", "sealed", stdin=b"secret")
    ok(harness.PROGRAM, "ech-key", "--public-name", "example.net", "-o", "ech.pem")
    LAB.write("figures.json", '{"format": "tpmtls-bench/1"}')
    LAB.write("notes.txt", "what I must not forget\n")
    for command in (
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out pkcs8.pem",
            "openssl pkcs8 -topk8 -in pkcs8.pem -passout pass:x -out pkcs8-encrypted.pem",
            "openssl ecparam -name prime256v1 -genkey -out sec1.pem", "openssl genrsa -traditional -out pkcs1.pem 2048",
            "openssl pkey -in pkcs8.pem -outform DER -out pkcs8.der", "openssl ec -in sec1.pem -outform DER -out sec1.der",
            "openssl rsa -in pkcs1.pem -traditional -outform DER -out pkcs1.der",
            "openssl pkcs8 -topk8 -in pkcs8.pem -passout pass:x -outform DER -out pkcs8-encrypted.der",
            "openssl req -x509 -key pkcs8.pem -subj /CN=y -out other.pem", "openssl req -new -key pkcs8.pem -subj /CN=y -out other.csr",
            "openssl pkcs12 -export -inkey pkcs8.pem -in other.pem -passout pass:x -out key.p12",
            "openssl asn1parse -in device.key -out tss2.der -noout", "openssl x509 -in other.pem -outform DER -out certificate.der",
            "openssl req -in other.csr -outform DER -out request.der"):
        ok(*command.split())
    LAB.write("both.pem", LAB.read("other.pem") + LAB.read("sec1.pem"))
    LAB.write("openssh", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    LAB.write("jwk.json", '{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}')
    LAB.write("tpm2-tools.priv", b"\0\x62\0\x20" + bytes(32) + bytes(64))


def tearDownModule():
    LAB.close()


SECRETS = ["device.key", "ticket.key", "ticket.root", "psk.pem", "sealed", "ech.pem", "pkcs8.pem", "pkcs8-encrypted.pem", "sec1.pem",
           "pkcs1.pem", "pkcs8.der", "sec1.der", "pkcs1.der", "pkcs8-encrypted.der", "key.p12", "tss2.der", "both.pem", "openssh",
           "jwk.json", "tpm2-tools.priv", "ca/ca.key"]
# A command that writes what can be made again, and a file of its own kind.
CSR = ("csr", "--key", "device.key", "--subject", "/CN=d", "-o")
SIGN = ("ca", "sign", "--dir", "ca", "device.csr", "-o")
SHOW = ("ca", "show", "--dir", "ca", "-o")
BENCH = ("bench", "tpm", "--seconds", "0", "-o")
WRITERS = {CSR: "other.csr", SIGN: "other.pem", SHOW: "other.pem"}


class Case(unittest.TestCase):
    def refused(self, file, *args):
        before = LAB.read(file)
        done = LAB.tpmtls(*args)
        self.assertEqual(done.code, 1, "%s: %s" % (" ".join(args), done.err))
        self.assertIn("overwritten", done.err)
        self.assertIn("tpmtls: hint: ", done.err)
        self.assertNotIn("Sanitizer", done.err)
        self.assertEqual(LAB.read(file), before)
        return done

    def issued(self):
        return len(LAB.must(harness.PROGRAM, "ca", "list", "--dir", "ca").out.splitlines())


class Secrets(Case):
    def test_no_command_writes_over_one(self):
        issued = self.issued()
        for file in SECRETS:
            for command in (CSR, SIGN, SHOW):
                self.refused(file, *command, file)
                self.refused(file, *command, file, "--force")
        self.assertEqual(self.issued(), issued)  # refused before it was issued
        for file in ("device.key", "pkcs8.der", "ticket.key"):
            self.refused(file, *BENCH, file)
            self.refused(file, *BENCH, file, "--force")

    def test_another_key_is_no_reason(self):
        LAB.must(harness.PROGRAM, "key", "create", "-o", "another.key")
        for file in ("device.key", "pkcs8.pem", "sealed"):
            self.refused(file, "key", "create", "-o", file)
            self.refused(file, "ticket-key", "-o", file)
            self.refused(file, "ech-key", "--public-name", "example.net", "-o", file)

    def test_a_signed_policy_replaces_its_own_key_only(self):
        LAB.must("openssl", "pkey", "-in", "pkcs8.pem", "-pubout", "-out", "policy.pub")
        for name in ("bound.key", "bound2.key"):
            LAB.must(harness.PROGRAM, "key", "create", "-o", name, "--policy-key", "policy.pub")
        sign = ("policy", "sign", "bound.key", "--policy-key", "pkcs8.pem", "--pcr", "sha256:7")
        self.refused("bound2.key", *sign, "-o", "bound2.key")
        before = LAB.read("bound.key")
        done = LAB.must(harness.PROGRAM, *sign)
        self.assertIn("which is replaced", done.err)
        self.assertNotEqual(LAB.read("bound.key"), before)

    def test_an_identity(self):
        env = {"XDG_DATA_HOME": LAB.path("data"), "HOME": LAB.path("data")}
        LAB.must(harness.PROGRAM, "key", "create", "-o", "second.key")
        add = (harness.PROGRAM, "identity", "add", "me", "--replace", "--key")
        LAB.must(*add, "device.key", env=env)
        LAB.must(*add, "device.key", "--cert", "device.pem", env=env)
        done = LAB.run(*add, "second.key", env=env)
        self.assertEqual(done.code, 1)
        self.assertIn("is never overwritten", done.err)

    def test_a_key_log(self):
        """Appended to: it would not be a key any more. A key log is."""
        def log(path):
            return LAB.tpmtls("connect", "127.0.0.1:1", "--ca", "ca/ca.pem", "--insecure-keylog", path)
        for file in ("device.key", "sec1.der", "notes.txt", "other.pem"):
            self.refused(file, "connect", "127.0.0.1:1", "--ca", "ca/ca.pem", "--insecure-keylog", file)
        LAB.write("keys.log", "# mine\nCLIENT_HANDSHAKE_TRAFFIC_SECRET 00 00\n")
        LAB.write("empty.log", "")
        for file in ("keys.log", "empty.log", "new.log"):
            if os.path.exists(LAB.path(file)):
                os.chmod(LAB.path(file), 0o600)
            self.assertIn("go to " + file, log(file).err)


class Replaced(Case):
    def test_its_own_kind_gives_way_and_it_is_said(self):
        for command, kind in WRITERS.items():
            LAB.write("target", LAB.read(kind))
            done = LAB.must(harness.PROGRAM, *command, "target")
            self.assertIn("target held a certificate%s, which is replaced" % (" request" if kind == "other.csr" else ""), done.err)
            self.assertNotEqual(LAB.read("target"), LAB.read(kind))

    def test_another_kind_needs_force(self):
        for command, kind in WRITERS.items():
            for file in {"other.pem", "other.csr", "notes.txt", "figures.json", "certificate.der", "request.der", "policy2.pub"} - {kind}:
                LAB.must("openssl", "pkey", "-in", "pkcs8.pem", "-pubout", "-out", "policy2.pub")
                LAB.write("target", LAB.read(file))
                self.assertIn("--force", self.refused("target", *command, "target").err)
                done = LAB.must(harness.PROGRAM, *command, "target", "--force")
                self.assertIn("which is replaced", done.err)

    def test_nothing_and_an_empty_file(self):
        for command in WRITERS:
            LAB.write("target", "")
            self.assertNotIn("replaced", LAB.must(harness.PROGRAM, *command, "target").err)
            os.unlink(LAB.path("target"))
            self.assertNotIn("replaced", LAB.must(harness.PROGRAM, *command, "target").err)

    def test_bench(self):
        LAB.write("f.json", LAB.read("figures.json"))
        self.assertIn("which is replaced", LAB.must(harness.PROGRAM, *BENCH, "f.json").err)
        self.refused("notes.txt", *BENCH, "notes.txt")
        self.refused("notes.txt", "bench", "tpm", "--seconds", "0", "--plot", "notes.txt")

    @unittest.skipIf(os.geteuid() == 0, "root reads everything")
    def test_what_cannot_be_read_is_not_written_over(self):
        LAB.write("closed", "x")
        os.chmod(LAB.path("closed"), 0o200)
        done = LAB.tpmtls(*CSR, "closed")
        self.assertEqual(done.code, 1)
        self.assertIn("cannot see what is in closed", done.err)

    def test_a_link_is_judged_by_what_it_leads_to(self):
        os.symlink("device.key", LAB.path("link"))
        self.refused("device.key", *CSR, "link")


class Names(Case):
    def test_json_of_a_name_that_is_no_text(self):
        """Valid, and never empty."""
        name = os.fsdecode(b"k\xff\x1b.key")
        for args in (("key", "create", "-o", name), ("ca", "init", "--dir", name + ".ca", "--subject", "/CN=x")):
            done = LAB.must(harness.PROGRAM, "--json", *args)
            self.assertIn("\\xff\\x1b.key", json.loads(done.out.decode())["file" if args[0] == "key" else "certificate"])


class Leftovers(Case):
    def test_of_a_killed_writer_are_swept_and_nothing_else(self):
        LAB.must(harness.PROGRAM, "ticket-key", "-o", "sweep.key")
        for name in ("sweep.key.tpmtls-aaaaaa", "sweep.key.backup", "sweep.key.tpmtls-b", "other.tpmtls-cccccc"):
            LAB.write(name, "x")
        held = open(LAB.path("other.tpmtls-cccccc"), "rb")
        locked = subprocess.Popen(["flock", LAB.path("other.tpmtls-cccccc"), "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
        locked.stdout.readline()
        LAB.must(harness.PROGRAM, "ticket-key", "-o", "sweep.key", "--rotate")
        self.assertFalse(os.path.exists(LAB.path("sweep.key.tpmtls-aaaaaa")))
        for name in ("sweep.key.backup", "sweep.key.tpmtls-b", "other.tpmtls-cccccc"):
            self.assertTrue(os.path.exists(LAB.path(name)), name)
        locked.send_signal(signal.SIGTERM)
        locked.wait(20)
        locked.stdout.close()
        held.close()


if __name__ == "__main__":
    harness.tap_main()
