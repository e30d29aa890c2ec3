"""tests/integration/test_pkcs11_tpm.py: the PKCS#11 module and what TPMs are like: policies, chips that salt with the
maximum, keys that only sign or only one scheme, many processes at once."""

import os
import shutil
import subprocess
import unittest

import harness
import swtpm
from tokens import KINDS, MODULE, PIN, TokenLab, needs

CHIP = LAB = None


def setUpModule():
    global CHIP, LAB
    folder = os.path.join(harness.tempfile.mkdtemp(prefix="tpmtls-test."), "chip")
    CHIP = swtpm.Swtpm(folder)
    LAB = TokenLab(KINDS + ("pin-p256",), CHIP.tcti)
    LAB.write("message", "hello")


def tearDownModule():
    LAB.close()
    CHIP.stop()
    shutil.rmtree(os.path.dirname(CHIP.folder))


def sign(token, mechanism, *more, **kw):
    return LAB.tool("--token-label", token, "--sign", "-m", mechanism, "-i", "message", "-o", token + ".sig", *more, **kw)


def verify(token, *options):
    LAB.must("openssl", "x509", "-in", token + ".pem", "-noout", "-pubkey", "-out", token + ".pub")
    return LAB.must("openssl", "dgst", "-sha256", "-verify", token + ".pub", "-signature", token + ".sig", *options, "message").out


@needs("pkcs11-tool", "tpm2_pcrextend")
class Policies(unittest.TestCase):
    def refused(self, token):
        """CKR_ACTION_PROHIBITED, for which pkcs11-tool has no name, and a line for whoever looks for the reason."""
        quiet, loud = (sign(token, "ECDSA-SHA256", env=env) for env in ({}, {"TPMTLS_PKCS11_DEBUG": "1"}))
        self.assertNotEqual(quiet.code, 0)
        self.assertIn("0x1b)", quiet.err)
        self.assertNotIn("tpmtls", quiet.err)
        self.assertRegex(loud.err, r"tpmtls-pkcs11: %s: .*(policy|PCR)" % token)

    def works(self, token):
        done = sign(token, "ECDSA-SHA256", "--signature-format", "openssl")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn(b"Verified OK", verify(token))
        flags = LAB.tool("-L").out.decode().split(token, 1)[1].split("Slot", 1)[0]
        self.assertNotIn("login required", flags)  # a policy that asks for no password has no PIN

    def test_pcr(self):
        LAB.must(harness.PROGRAM, "key", "create", "-o", "pcr.key", "--pcr", "sha256:16")
        LAB.certify("pcr")
        self.works("pcr")
        CHIP.tools("tpm2_pcrextend", "16:sha256=" + "01" * 32)
        self.refused("pcr")
        CHIP.tools("tpm2_pcrreset", "16")
        self.works("pcr")

    def test_signed(self):
        LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "policy.key")
        LAB.must("openssl", "pkey", "-in", "policy.key", "-pubout", "-out", "policy.pub")
        LAB.must(harness.PROGRAM, "key", "create", "-o", "signed.key", "--policy-key", "policy.pub")
        LAB.must(harness.PROGRAM, "identity", "add", "signed", "--key", "signed.key")
        self.refused("signed")  # no policy is signed yet
        LAB.must(harness.PROGRAM, "policy", "sign", "signed.key", "--policy-key", "policy.key", "--pcr", "sha256:23")
        LAB.must(harness.PROGRAM, "identity", "remove", "signed")
        LAB.certify("signed")
        self.works("signed")
        CHIP.tools("tpm2_pcrextend", "23:sha256=" + "02" * 32)
        self.refused("signed")


@needs("pkcs11-tool", "tpm2_create")
class Padding(unittest.TestCase):
    CHECK = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest")

    @classmethod
    def setUpClass(cls):
        """Keys that only sign: the TPM pads."""
        for name, handle, scheme in (("any", "0x81000040", "rsa2048:null:null"), ("pss", "0x81000041", "rsa2048:rsapss-sha256:null")):
            CHIP.tools("tpm2_createprimary", "-C", "o", "-c", "primary.ctx")
            CHIP.tools("tpm2_create", "-C", "primary.ctx", "-G", scheme, "-u", name + ".pub", "-r", name + ".priv",
                       "-c", name + ".ctx", "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign")
            CHIP.tools("tpm2_flushcontext", "-t")
            CHIP.tools("tpm2_evictcontrol", "-C", "o", "-c", name + ".ctx", handle)
            CHIP.tools("tpm2_flushcontext", "-t")
            LAB.must(harness.PROGRAM, "identity", "add", name, "--key", "handle:" + handle)
            CHIP.tools("tpm2_readpublic", "-c", handle, "-f", "pem", "-o", LAB.path(name + ".pub"))

    def verifies(self, token, *options):
        return LAB.run("openssl", "dgst", "-sha256", "-verify", token + ".pub", "-signature", token + ".sig", *options, "message").code == 0

    def test_a_chip_that_salts_with_the_maximum(self):
        """A key that may decrypt is padded here, so that the salt is what was asked for; one that only signs is refused:
        PSS by its chip is not what was asked for."""
        env = {"TPMTLS_TPM": "lab:salt=max:" + CHIP.tcti, "TPMTLS_LIBDIR": os.path.dirname(MODULE), "TPMTLS_PKCS11_DEBUG": "1"}
        done = sign("rsa2048", "SHA256-RSA-PKCS-PSS", env=env)
        self.assertEqual(done.code, 0, done.err)
        self.assertIn(b"Verified OK", verify("rsa2048", *self.CHECK))
        refused = sign("any", "SHA256-RSA-PKCS-PSS", env=env)
        self.assertIn("CKR_MECHANISM_INVALID", refused.err)
        self.assertIn("with another salt than asked for", refused.err)

    def test_keys_that_only_sign(self):
        for token, mechanism, options in (("any", "SHA256-RSA-PKCS", ()), ("any", "SHA256-RSA-PKCS-PSS", self.CHECK),
                                          ("pss", "SHA256-RSA-PKCS-PSS", self.CHECK)):
            done = sign(token, mechanism)
            self.assertEqual(done.code, 0, done.err)
            self.assertTrue(self.verifies(token, *options), (token, mechanism))

    def test_mechanisms_are_the_keys(self):
        def of(token):
            return LAB.tool("--token-label", token, "-M").out.decode()
        self.assertIn("RSA-X-509", of("rsa2048"))
        self.assertNotIn("RSA-X-509", of("any"))
        self.assertNotIn("SHA256-RSA-PKCS,", of("pss"))
        self.assertIn("SHA256-RSA-PKCS-PSS", of("pss"))


@needs("pkcs11-tool")
class ManyProcesses(unittest.TestCase):
    """Eight processes at once, on a TPM without a resource manager, which has three places, and on an embedded one."""

    def together(self, lab, token, login=()):
        lab.write("message", "hello")
        running = [subprocess.Popen(("pkcs11-tool", "--module", MODULE, "--token-label", token, "--sign", "-m", "ECDSA-SHA256", "-i",
                                     "message", "-o", "%d.sig" % i, "--signature-format", "openssl", *login), cwd=lab.dir,
                                    env=lab.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for i in range(8)]
        said = [process.communicate(timeout=harness.TIMEOUT)[1] for process in running]
        self.assertEqual([process.returncode for process in running], [0] * 8, said)
        lab.must("openssl", "x509", "-in", token + ".pem", "-noout", "-pubkey", "-out", token + ".pub")
        for i in range(8):
            lab.must("openssl", "dgst", "-sha256", "-verify", token + ".pub", "-signature", "%d.sig" % i, "message")

    def test_on_a_bare_swtpm(self):
        self.together(LAB, "p256")
        self.together(LAB, "pin-p256", ("--login", "--pin", PIN))

    def test_on_the_embedded_tpm(self):
        lab = TokenLab(("p256",))
        try:
            self.together(lab, "p256")
        finally:
            lab.close()


if __name__ == "__main__":
    harness.tap_main()
