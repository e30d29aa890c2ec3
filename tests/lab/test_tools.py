"""tests/lab/test_tools.py: the lab as a module: tpm2-tools and the program load it; each fault as they see it."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402
from swtpm import Swtpm  # noqa: E402

LAB = None


class ToolLab(harness.Lab):
    """A swtpm on a unix socket, without a resource manager."""

    def __init__(self):
        super().__init__()
        self.env.update(harness.LAB_TCTI)
        self.chip = Swtpm(self.dir)

    def tcti(self, options, name="tpmtls-lab"):
        return "%s:%s:%s" % (name, options, self.chip.tcti)

    def tool(self, options, *command, **kw):
        return self.run(command[0], "-T", self.tcti(options), *command[1:], **kw)

    def close(self):
        self.chip.stop()
        super().close()


def setUpModule():
    global LAB
    LAB = ToolLab()


def tearDownModule():
    LAB.close()


class Tools(unittest.TestCase):
    def random(self, options, code=0):
        result = LAB.tool(options, "tpm2_getrandom", "--hex", "16")
        self.assertEqual(result.code, code, result.err)
        return result

    def test_plain(self):
        self.assertRegex(self.random("profile=jetson").out, rb"^[0-9a-f]{32}$")

    def test_wrong_options(self):
        self.assertNotEqual(LAB.tool("profile=none", "tpm2_getrandom", "8").code, 0)

    def test_report(self):
        self.random("profile=slb9672,report=%s,seed=3" % LAB.path("report"))
        lines = [line.split() for line in LAB.read("report").decode().splitlines()]
        self.assertEqual([line[1] for line in lines], ["GetCapability", "GetRandom"])
        for line in lines:
            self.assertTrue(1393 * 0.9 <= int(line[3]) <= 1393 * 1.1, line)

    def test_codes(self):
        for name, code in (("lockout", "0x921"), ("0x902", "0x902"), ("failure", "0x101")):
            self.assertIn(code, self.random("fault=%s@GetRandom" % name, 1).err.lower())
        self.random("fault=lockout@GetRandom#2")  # there is no second one

    def test_lost_and_spoilt(self):
        # Not the cut ones: tpm2-tss 3.2 believes the header and reads on in its own buffer, whatever the length was.
        for fault in ("drop", "enomem", "hang.10"):
            self.assertNotEqual(LAB.tool("fault=%s@GetRandom" % fault, "tpm2_getrandom", "16").code, 0, fault)

    def test_garbled(self):
        plain = LAB.tool("", "tpm2_getcap", "properties-fixed")
        garbled = LAB.tool("fault=garble.1@GetCapability#1-", "tpm2_getcap", "properties-fixed")
        self.assertEqual(plain.code, 0)
        self.assertFalse(garbled.code == 0 and garbled.out == plain.out)

    def test_capabilities(self):
        options = "lacks=p384+sha384,slots=2,fips=on"
        self.assertNotIn(b"P384", LAB.tool(options, "tpm2_getcap", "ecc-curves").out)
        algorithms = LAB.tool(options, "tpm2_getcap", "algorithms").out
        self.assertIn(b"sha256:", algorithms)
        self.assertNotIn(b"sha384:", algorithms)
        fixed = LAB.tool(options, "tpm2_getcap", "properties-fixed").out.decode()
        self.assertRegex(fixed, r"HR_TRANSIENT_MIN:\s+raw: 0x2\n")
        self.assertIn("TPMA_MODES_FIPS_140_2", fixed)
        refused = LAB.tool(options, "tpm2_createprimary", "-C", "o", "-G", "ecc384", "-c", "p.ctx")
        self.assertNotEqual(refused.code, 0)

    def test_slots(self):
        made = LAB.tool("slots=2", "tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "p.ctx")
        self.assertEqual(made.code, 0, made.err)
        loaded = re.findall(r"0x8\w+", LAB.tool("slots=2", "tpm2_getcap", "handles-transient").out.decode())
        if len(loaded) < 2:
            LAB.tool("slots=2", "tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "q.ctx")
        result = LAB.tool("slots=1", "tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "r.ctx")
        self.assertIn("0x902", result.err.lower())
        LAB.tool("", "tpm2_flushcontext", "-t")

    def test_restart(self):
        LAB.tool("", "tpm2_flushcontext", "-t")
        self.assertEqual(LAB.tool("", "tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "p.ctx").code, 0)
        self.assertEqual(LAB.tool("fault=restart", "tpm2_getcap", "handles-transient").out, b"")


class Program(unittest.TestCase):
    def test_lab_spec(self):
        """The program finds the module beside itself, without LD_LIBRARY_PATH."""
        for name in ("lab", "tpmtls-lab"):
            spec = LAB.tcti("lacks=p384,clock=virtual,profile=slb9670", name)
            result = LAB.tpmtls("--tpm", spec, "key", "create", "--type", "p384", "-o", "x.key",
                                env={"LD_LIBRARY_PATH": ""})
            self.assertEqual(result.code, 1)
            self.assertIn("it has p256, p521, rsa2048", result.err)

    def test_wrong_options(self):
        result = LAB.tpmtls("--tpm", LAB.tcti("profile=slb9999"), "key", "create", "-o", "x.key")
        self.assertEqual(result.code, 2)
        self.assertIn("there is no profile 'slb9999'; there are ns350", result.err)
        self.assertIn("tpmtls: hint: ", result.err)

    def test_inner_not_there(self):
        result = LAB.tpmtls("--tpm", "lab:profile=pc:swtpm:path=/nowhere", "key", "create", "-o", "x.key")
        self.assertEqual(result.code, 4)


class MlDsa(unittest.TestCase):
    """A TPM of version 1.85, which the lab plays where libcrypto has ML-DSA; elsewhere the words with which that is said."""

    def tpm(self):
        return ("--tpm", LAB.tcti("mldsa=on", "lab"))

    def test_server(self):
        """The key stays in the TPM and signs the request, the certificate's holder a CertificateVerify; OpenSSL and ours judge."""
        made = LAB.tpmtls(*self.tpm(), "key", "create", "--type", "mldsa65", "-o", "ml.key")
        if b"ML-DSA" not in LAB.must("openssl", "list", "-signature-algorithms").out:
            self.assertEqual(made.code, 2)
            self.assertIn("OpenSSL 3.5", made.err)
            return
        self.assertEqual(made.code, 0, made.err)
        LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=lab CA")
        LAB.must(harness.PROGRAM, *self.tpm(), "csr", "--key", "ml.key", "--subject", "/CN=localhost", "--san", "DNS:localhost",
                 "-o", "ml.csr")
        LAB.must("openssl", "req", "-in", "ml.csr", "-verify", "-noout")
        LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "ml.csr", "--profile", "both", "-o", "ml.pem")
        shown = LAB.must(harness.PROGRAM, "--json", *self.tpm(), "key", "show", "ml.key")
        self.assertIn(b"mldsa65", shown.out)
        with LAB.serve(key="ml", options=self.tpm()) as server:
            theirs = LAB.must("openssl", "s_client", "-connect", "localhost:" + server.port, "-CAfile", "ca/ca.pem",
                              "-verify_return_error", stdin=b"Q\n")
            self.assertRegex(theirs.out, rb"(?i)peer signature type: mldsa65")
            LAB.must(harness.PROGRAM, "connect", "localhost:" + server.port, "--ca", "ca/ca.pem", stdin=b"x\n")


if __name__ == "__main__":
    harness.tap_main()
