"""tests/integration/test_chip.py: what a chip is found with: not started, certificates in its NV memory, keys of others."""

import json
import os
import unittest

import harness
from swtpm import Swtpm

LAB = CHIP = None


def setUpModule():
    global LAB, CHIP
    LAB = harness.Lab()
    CHIP = Swtpm(LAB.path("chip"))
    LAB.env["TPMTLS_TPM"] = CHIP.tcti


def tearDownModule():
    CHIP.stop()
    LAB.close()


class Case(unittest.TestCase):
    def ends(self, code, *args, says="", **kw):
        result = LAB.tpmtls(*args, **kw)
        self.assertEqual(result.code, code, "%s: %s" % (" ".join(args), result.err))
        self.assertIn(says, result.err)
        self.assertNotIn("Sanitizer", result.err)
        return result


class NotStarted(Case):
    """swtpm without startup-clear: nobody has sent TPM2_Startup."""

    def setUp(self):
        self.chip = Swtpm(LAB.path("off." + self.id().rsplit(".", 1)[-1]), on=False)
        self.addCleanup(self.chip.stop)

    def test_it_was_not(self):
        with self.assertRaisesRegex(AssertionError, "0x100"):
            self.chip.tools("tpm2_getrandom", "8")

    def test_first_command(self):
        for what in (("key", "create", "-o", "k.key"), ("key", "list"), ("key", "srk", "-o", "srk.pub"), ("doctor", "--quick")):
            self.ends(0, "--tpm", self.chip.tcti, *what)
            self.chip.cut_power()
        self.ends(0, "--tpm", self.chip.tcti, "csr", "--key", "k.key", "--subject", "/CN=x", "-o", "k.csr")
        self.ends(0, "--tpm", self.chip.tcti, "key", "persist", "k.key", "0x81000011")
        self.chip.cut_power()
        self.ends(0, "--tpm", self.chip.tcti, "csr", "--key", "handle:0x81000011", "--subject", "/CN=x", "-o", "k2.csr")

    def test_doctor(self):
        page = json.loads(self.ends(0, "--tpm", self.chip.tcti, "--json", "doctor", "--quick").out)
        self.assertEqual((page["reached"], page["tls13_possible"], page["manufacturer"]), (True, True, "IBM"))

    def test_a_running_one_is_not_started(self):
        """No command more than needed, and none that the TPM refuses."""
        report = LAB.path("report")
        env = {"LD_LIBRARY_PATH": os.environ.get("TPMTLS_LIBDIR", os.path.dirname(harness.PROGRAM))}
        for chip, starts in ((CHIP, 0), (self.chip, 1)):
            LAB.write("report", "")
            self.ends(0, "--tpm", "lab:report=%s:%s" % (report, chip.tcti), "key", "list", env=env)
            names = [line.split()[1] for line in LAB.read("report").decode().splitlines()]
            self.assertEqual(names.count("Startup"), starts, names)


class Unreachable(Case):
    def doctor(self, tpm):
        env = {"LD_LIBRARY_PATH": os.environ.get("TPMTLS_LIBDIR", os.path.dirname(harness.PROGRAM))}
        return json.loads(self.ends(4, "--tpm", tpm, "--json", "doctor", "--quick", env=env).out)

    def test_never_possible(self):
        for tpm in ("swtpm:path=" + LAB.path("nobody"), "lab:fault=failure@GetCapability#1-:" + CHIP.tcti):
            page = self.doctor(tpm)
            self.assertEqual((page["reached"], page["tls13_possible"]), (False, False), page)


class Certificates(Case):
    """--cert handle:0x01...: the certificate lies beside the key."""

    INDEX = 0x01800001
    OPEN = "ownerread|ownerwrite|authread|authwrite|no_da"

    @classmethod
    def setUpClass(cls):
        LAB.must(harness.PROGRAM, "key", "create", "-o", "nv.key", "--persist", "0x81020000")
        LAB.must(harness.PROGRAM, "csr", "--key", "nv.key", "--subject", "/CN=nv", "--san", "DNS:localhost", "-o", "nv.csr")
        LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=CA")
        LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "--profile", "both", "nv.csr", "-o", "nv.pem")
        LAB.must("openssl", "x509", "-in", "nv.pem", "-outform", "DER", "-out", "nv.der")
        LAB.must("openssl", "x509", "-in", "ca/ca.pem", "-outform", "DER", "-out", "ca.der")
        LAB.must("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "soft.pem")

    def put(self, content, attributes=OPEN, *more):
        handle = "0x%08x" % self.INDEX
        LAB.write("nv", content)
        CHIP.tools("tpm2_nvdefine", "-Q", "-C", "o", "-s", str(len(content)), "-a", attributes, handle, *more)
        self.addCleanup(CHIP.tools, "tpm2_nvundefine", "-Q", "-C", "o", handle)
        if not more:
            CHIP.tools("tpm2_nvwrite", "-Q", "-C", "o", "-i", LAB.path("nv"), handle)

    def gone(self):
        self.doCleanups()

    def served(self, cert, key="handle:0x81020000"):
        """serve takes key and certificate from the chip, and connect likewise: what the peers saw."""
        server = harness.Background((harness.PROGRAM, "--json", "serve", "127.0.0.1:0", "--key", key, "--cert", cert, "--client-ca",
                                     "ca/ca.pem"), LAB.env, LAB.dir)
        with server:
            port = server.wait_for(r'"address":"[^"]*:(\d+)').group(1)
            result = self.ends(0, "connect", "127.0.0.1:" + port, "--ca", "ca/ca.pem", "--servername", "localhost", "--key", key,
                               "--cert", cert, stdin=b"hello")
            self.assertEqual(result.out, b"hello")

    def test_forms(self):
        """DER, padded or with its chain behind it; PEM; with and without handle: and 0x."""
        der, chain = LAB.read("nv.der"), LAB.read("ca.der")
        for content in (der, der + b"\xff" * 50, der + chain, LAB.read("nv.pem")):
            self.put(content)
            self.served("handle:0x01800001")
            self.gone()
        self.put(der)
        for form in ("0x01800001", "handle:01800001"):
            self.served(form)

    def test_beside_a_software_key(self):
        """The TPM is opened for the certificate alone."""
        LAB.must(harness.PROGRAM, "csr", "--key", "soft.pem", "--subject", "/CN=soft", "--san", "DNS:localhost", "-o", "soft.csr")
        LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "--profile", "both", "soft.csr", "-o", "soft.crt")
        LAB.must("openssl", "x509", "-in", "soft.crt", "-outform", "DER", "-out", "soft.der")
        self.put(LAB.read("soft.der"))
        self.served("handle:0x01800001", "soft.pem")

    def test_identity(self):
        """The PKCS#11 module's identities get a copy."""
        self.put(LAB.read("nv.der") + LAB.read("ca.der"))
        env = {"TPMTLS_IDENTITIES": LAB.path("identities")}
        self.ends(0, "identity", "add", "chip", "--key", "handle:0x81020000", "--cert", "handle:0x01800001", env=env)
        self.assertEqual(LAB.read("identities/chip/cert.pem").count(b"BEGIN CERTIFICATE"), 2)

    def refused(self, code, says):
        self.ends(code, "connect", "127.0.0.1:9", "--ca", "ca/ca.pem", "--key", "handle:0x81020000", "--cert", "handle:0x01800001",
                  says=says)

    def test_refused(self):
        der = LAB.read("nv.der")
        self.refused(4, "there is no NV index 0x01800001 in this TPM")
        for content in (b"\0" * 40, b"certificate", der[:-1], der + b"x", b"\x30\x84\xff\xff\xff\xff", b"\x30\x00" * 40):
            self.put(content)
            self.refused(1, "0x01800001")
            self.gone()
        self.put(LAB.read("ca.der"))
        self.refused(2, "does not belong to the key")
        self.gone()
        self.put(bytes(8), "ownerread|ownerwrite|authread|authwrite|no_da|nt=counter", "-g", "sha256")
        self.refused(1, "a counter or the like")
        self.gone()
        self.put(bytes(40), self.OPEN, "-g", "sha256")
        self.refused(1, "nothing was ever written")
        self.ends(2, "connect", "127.0.0.1:9", "--ca", "ca/ca.pem", "--key", "handle:0x81020000", "--cert", "handle:0x81020000",
                  says="is not an NV index")
        self.ends(2, "connect", "127.0.0.1:9", "--ca", "ca/ca.pem", "--key", "handle:0x81020000", "--cert", "handle:0x018",
                  says="is not a TPM handle")

    def test_largest(self):
        """As long as this TPM allows, which is more than one command reads."""
        self.put((LAB.read("nv.der") + LAB.read("ca.der")).ljust(2048, b"\xff"))
        self.served("handle:0x01800001")

    def test_the_owners(self):
        """Only the owner may read it, and has a password."""
        self.put(LAB.read("nv.der"), "ownerread|ownerwrite|no_da")
        self.served("handle:0x01800001")
        CHIP.tools("tpm2_changeauth", "-Q", "-c", "owner", "secret of the owner")
        try:
            self.refused(4, "owner hierarchy has a password")
            LAB.write("owner", "secret of the owner")
            result = LAB.tpmtls("--owner-auth-file", "owner", "connect", "127.0.0.1:9", "--ca", "ca/ca.pem", "--key", "handle:0x81020000",
                                "--cert", "handle:0x01800001")
            self.assertNotIn("password", result.err)
            self.assertIn("127.0.0.1", result.err)  # nobody is there: the certificate was read
            self.assertEqual(CHIP.wrong_passwords(), 0)
        finally:
            CHIP.tools("tpm2_changeauth", "-Q", "-c", "owner", "-p", "secret of the owner")

    def test_a_password_that_counts(self):
        self.put(LAB.read("nv.der"), "ownerwrite|authread|authwrite")
        self.refused(4, "the empty one is not tried")
        self.assertEqual(CHIP.wrong_passwords(), 0)


if __name__ == "__main__":
    harness.tap_main()
