"""tests/integration/test_attest.py: `tpmtls attest` on TPMs as swtpm_setup makes them: what is proved, what is refused, what is left
in the TPM, and what real TPMs do where guesses go wrong (codes of a wrong credential, counters, banks that are not allocated)."""

import json
import os
import re
import unittest

import harness
from swtpm import Swtpm, manufactured

LAB = CHIP = OTHER = None


def setUpModule():
    global LAB, CHIP, OTHER
    LAB = harness.Lab()
    CHIP, OTHER = manufactured(LAB.path("chip")), manufactured(LAB.path("other"))
    if CHIP is None:
        return
    LAB.write("token.key", os.urandom(32).hex() + "\n")
    os.chmod(LAB.path("token.key"), 0o600)
    for name in ("chip", "other"):
        folder = LAB.path(name + "/ca")
        LAB.write(name + ".roots", b"".join(LAB.read(os.path.join(folder, file)) for file in sorted(os.listdir(folder))
                                            if file.endswith("cert.pem") or file == "issuer.pem"))
    LAB.write("policy.ini", "; who may come\nek-roots = chip.roots\nek-roots = other.roots\n")
    for chip, name in ((CHIP, "chip.key"), (OTHER, "other.key")):
        on(chip, "key", "create", "-o", name)


def tearDownModule():
    for chip in (CHIP, OTHER):
        if chip is not None:
            chip.stop()
    LAB.close()


def on(chip, *args, code=0):
    result = LAB.tpmtls("--tpm", chip.tcti, *args)
    if result.code != code or "Sanitizer" in result.err:
        raise AssertionError("%s: %d: %s" % (" ".join(args), result.code, result.err))
    return result


def attest(*args, code=0):
    result = LAB.tpmtls("attest", *args)
    if result.code != code or "Sanitizer" in result.err:
        raise AssertionError("%s: %d: %s %s" % (" ".join(args), result.code, result.out, result.err))
    return result


def nonce():
    return attest("nonce", "--token-key", "token.key").out.decode().strip()


class Case(unittest.TestCase):
    def setUp(self):
        if CHIP is None:
            self.skipTest("swtpm_setup is not installed (package swtpm-tools)")

    def make(self, about, *options, chip=None, key="chip.key", out="evidence", code=0):
        return on(chip or CHIP, "attest", "make", "--key", key, "--nonce", about, "-o", out, "--force", *options, code=code)

    def verdict(self, file="evidence", *options, policy="policy.ini"):
        result = LAB.tpmtls("--json", "attest", "verify", file, "--policy", policy, *options)
        self.assertIn(result.code, (0, 3), result.err)
        page = json.loads(result.out)
        self.assertEqual(page["good"], result.code == 0)
        self.assertEqual(page["good"], page["text"] == "")
        return page

    def challenge(self, out="challenge", file="evidence", code=0):
        return attest("challenge", file, "--policy", "policy.ini", "--token-key", "token.key", "-o", out, "--force", code=code)

    def nothing_is_left(self, chip=None):
        for what in ("handles-transient", "handles-loaded-session", "handles-saved-session"):
            self.assertEqual((chip or CHIP).tools("tpm2_getcap", what), "", what)


class Whole(Case):
    def test_both_endorsement_keys(self):
        """ECC P-384 of the high range and RSA-2048 of the low one, which wants PolicySecret; kept, and derived."""
        for clear in (False, True):
            if clear:
                CHIP.tools("tpm2_clear", "-c", "p")  # removes both kept endorsement keys; they are the same when derived
                os.unlink(LAB.path("chip.key"))
                on(CHIP, "key", "create", "-o", "chip.key")
            for template in ((), ("--ek", "H-3"), ("--ek", "L-1")):
                about = nonce()
                self.make(about, *template)
                self.assertEqual(self.verdict("evidence", "--token-key", "token.key")["reason"], "proof-missing")
                self.challenge()
                self.make(about, *template, "--answer", "challenge", "--pcr", "sha256:0,7")
                page = self.verdict("evidence", "--token-key", "token.key")
                self.assertEqual((page["reason"], page["proved"], page["quoted"], page["counters_are_true"]), ("good", True, True, True))
                self.assertEqual((page["manufacturer"], page["model"]), ("id:00001014", "swtpm"))
                self.nothing_is_left()

    def test_one_of_the_endorsement_keys_counts(self):
        """Each TPM has one of each type, and so one identity where a policy names one type."""
        for kind, good in (("rsa2048", "L-1"), ("p384", "H-3")):
            LAB.write("kind.ini", LAB.read("policy.ini").decode() + "ek = %s\n" % kind)
            for template in ("L-1", "H-3"):
                self.make(nonce(), "--ek", template, "--pcr", "sha256:0,7")
                self.assertEqual(self.verdict(policy="kind.ini")["reason"], "good" if template == good else "ek-kind")
        LAB.write("kind.ini", LAB.read("policy.ini").decode() + "ek = rsa1024\n")
        self.assertIn("rsa1024", LAB.tpmtls("attest", "verify", "evidence", "--policy", "kind.ini").err)

    def test_the_same_tpm_is_known_again(self):
        """Its identity, and the attestation key, are the same after TPM2_Clear and on another day."""
        self.make(nonce())
        before = self.verdict()
        CHIP.tools("tpm2_clear", "-c", "p")
        os.unlink(LAB.path("chip.key"))
        on(CHIP, "key", "create", "-o", "chip.key")
        self.make(nonce())
        after = self.verdict()
        self.assertEqual((before["ek_sha256"], before["ak_name"]), (after["ek_sha256"], after["ak_name"]))
        self.assertNotEqual(before["key_name"], after["key_name"])
        self.make(nonce(), chip=OTHER, key="other.key")
        self.assertNotEqual(self.verdict()["ek_sha256"], before["ek_sha256"])

    def test_true_counters(self):
        """An attestation key of the endorsement hierarchy has the TPM's own counters and firmware (one of the owner's has not)."""
        self.make(nonce())
        page = self.verdict()
        clock = CHIP.tools("tpm2_readclock")
        self.assertEqual(page["resets"], int(re.search(r"reset_count: (\d+)", clock).group(1)))
        fixed = CHIP.tools("tpm2_getcap", "properties-fixed")
        firmware = "".join(re.search(r"FIRMWARE_VERSION_%d:\s+raw: 0x([0-9a-fA-F]+)" % n, fixed).group(1).lower().rjust(8, "0") for n in (1, 2))
        self.assertEqual(page["firmware"], firmware)
        LAB.write("firmware.ini", "ek-roots = chip.roots\nfirmware = %s\n" % firmware)
        self.assertTrue(self.verdict(policy="firmware.ini")["good"])
        LAB.write("firmware.ini", "ek-roots = chip.roots\nfirmware = id:9.0\n")
        self.assertEqual(self.verdict(policy="firmware.ini")["reason"], "firmware")

    def test_kinds_of_keys(self):
        """RSA; with a password; with a policy, which is not asked for a certification; software: never."""
        LAB.write("password", "correct horse\n")
        on(CHIP, "key", "create", "--type", "rsa2048", "-o", "rsa.key")
        on(CHIP, "--auth-file", "password", "key", "create", "-o", "password.key")
        on(CHIP, "key", "create", "-o", "policy.key", "--pcr", "sha256:7")
        LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "software.key")
        self.make(nonce(), key="rsa.key")
        self.assertTrue(self.verdict()["good"])
        self.make(nonce(), key="policy.key")
        self.assertTrue(self.verdict()["good"])
        on(CHIP, "--auth-file", "password", "attest", "make", "--key", "password.key", "--nonce", nonce(), "-o", "evidence", "--force")
        self.assertTrue(self.verdict()["good"])
        said = on(CHIP, "attest", "make", "--key", "software.key", "--nonce", nonce(), code=1).err
        self.assertIn("no TPM can attest it", said)
        self.assertEqual(CHIP.wrong_passwords(), 0)
        self.nothing_is_left()

    def test_imported(self):
        """A key that came from outside is certified by the TPM, and its attributes tell."""
        LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "outside.pem")
        on(CHIP, "key", "srk", "-o", "srk.pub")
        on(CHIP, "key", "wrap", "outside.pem", "--for", "srk.pub", "-o", "outside.key")
        self.make(nonce(), key="outside.key")
        page = self.verdict()
        self.assertEqual(page["reason"], "key-attributes")
        self.assertIn("fixedTPM", page["text"])


class Refused(Case):
    def test_credentials_for_others(self):
        """Three codes for one mistake (0x1DF, 0x2D5, 0x101 or 0x2C4): one sentence; the TPM works on."""
        about = nonce()
        self.make(about)
        self.challenge("p384")
        self.make(about, "--ek", "L-1")
        self.challenge("rsa")
        self.make(nonce(), "--ek", "L-1", chip=OTHER, key="other.key")
        self.challenge("other-rsa")
        self.make(nonce(), chip=OTHER, key="other.key")
        self.challenge("other-p384")
        for options, challenge in (((), "rsa"), ((), "other-rsa"), ((), "other-p384"), (("--ek", "L-1"), "p384"),
                                   (("--ek", "L-1"), "other-rsa"), (("--ek", "L-1"), "other-p384")):
            said = self.make(about, "--answer", challenge, *options, code=3).err
            self.assertIn("the credential was not made for this TPM's", said)
            self.assertIn("it answers other evidence", said)
        self.make(about, "--answer", "p384")
        self.assertTrue(self.verdict("evidence", "--token-key", "token.key")["good"])
        self.nothing_is_left()

    def test_untrusted(self):
        LAB.write("strict.ini", "ek-roots = other.roots\n")
        self.make(nonce())
        page = self.verdict(policy="strict.ini")
        self.assertEqual(page["reason"], "ek-untrusted")
        self.assertIn("leads to no vendor's root", page["text"])
        LAB.write("strict.ini", "ek-roots = chip.roots\nmanufacturer = IFX\n")
        self.assertEqual(self.verdict(policy="strict.ini")["reason"], "manufacturer")
        LAB.write("strict.ini", "ek-roots = chip.roots\nmanufacturer = id:00001014\n")
        self.assertEqual(self.verdict(policy="strict.ini")["reason"], "good")

    def test_pcrs(self):
        LAB.write("pcrs.ini", "ek-roots = chip.roots\npcrs = sha256:7,16\n")
        about = nonce()
        self.make(about)
        self.assertEqual(self.verdict(policy="pcrs.ini")["reason"], "quote-missing")
        self.make(about, "--pcr", "sha256:7")
        self.assertEqual(self.verdict(policy="pcrs.ini")["reason"], "quote-selection")
        self.make(about, "--pcr", "sha256:16,7")
        self.assertEqual(self.verdict(policy="pcrs.ini")["reason"], "good")
        shown = json.loads(LAB.tpmtls("--json", "attest", "show", "evidence").out)
        LAB.write("pcrs.ini", "ek-roots = chip.roots\npcrs = sha256:7,16\npcr-digest = %s\n" % shown["quote"]["digest"])
        self.assertEqual(self.verdict(policy="pcrs.ini")["reason"], "good")
        CHIP.tools("tpm2_pcrextend", "16:sha256=" + "11" * 32)
        self.make(about, "--pcr", "sha256:7,16")
        self.assertEqual(self.verdict(policy="pcrs.ini")["reason"], "pcrs")
        CHIP.tools("tpm2_pcrreset", "16")

    def test_bank_that_is_not_allocated(self):
        """The TPM quotes it as a success with nothing selected; here it is noticed before, and a judge would, too."""
        said = self.make(nonce(), "--pcr", "sha1:0", code=1).err  # swtpm_setup has left sha256 alone
        self.assertIn("does not have one of the PCRs or banks", said)
        self.nothing_is_left()

    def test_old_nonces_and_others(self):
        self.make(nonce())
        self.assertEqual(self.verdict("evidence", "--nonce", nonce())["reason"], "nonce-wrong")
        self.make("00" * 32)
        self.assertEqual(self.verdict("evidence", "--token-key", "token.key")["reason"], "nonce-wrong")
        self.assertIn("not a nonce", self.make("00" * 31, code=2).err)

    def test_about_another_key(self):
        self.make(nonce())
        self.assertEqual(self.verdict()["reason"], "good")
        on(CHIP, "csr", "--key", "chip.key", "--subject", "/CN=device-1", "-o", "chip.csr", "--force")
        self.assertEqual(self.verdict("evidence", "--about", "chip.csr")["reason"], "good")
        on(OTHER, "csr", "--key", "other.key", "--subject", "/CN=device-1", "-o", "other.csr", "--force")
        self.assertEqual(self.verdict("evidence", "--about", "other.csr")["reason"], "key-other")


class Chips(Case):
    def test_without_a_certificate(self):
        """Its own sentence; and a certificate of one's own for such a TPM."""
        bare = Swtpm(LAB.path("bare"))
        self.addCleanup(bare.stop)
        on(bare, "key", "create", "-o", "bare.key")
        said = self.make(nonce(), chip=bare, key="bare.key", code=4).err
        self.assertIn("this TPM has no certificate of its endorsement key", said)
        self.assertIn("--ek-cert", said)
        LAB.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "own.key",
                 "-subj", "/CN=Our Own Root", "-days", "30", "-out", "own.pem")
        LAB.write("own.ext", "extendedKeyUsage=2.23.133.8.1\nbasicConstraints=critical,CA:FALSE\n")
        LAB.write("own.ini", "ek-roots = own.pem\n")
        for template in ("L-2", "L-1", "H-2"):
            on(bare, "attest", "ek", "--ek", template, "-o", "bare.ek", "--force")
            LAB.must("openssl", "req", "-new", "-key", "own.key", "-subj", "/", "-out", "any.csr")
            LAB.must("openssl", "x509", "-req", "-in", "any.csr", "-force_pubkey", "bare.ek", "-CA", "own.pem", "-CAkey", "own.key",
                     "-days", "30", "-extfile", "own.ext", "-out", "bare.pem")
            self.make(nonce(), "--ek-cert", "bare.pem", *(("--ek", template) if template[0] == "H" else ()), chip=bare, key="bare.key")
            self.assertEqual(self.verdict(policy="own.ini")["reason"], "good")
        self.nothing_is_left(bare)

    def test_endorsement_hierarchy_with_a_password(self):
        locked = manufactured(LAB.path("locked"))
        self.addCleanup(locked.stop)
        on(locked, "key", "create", "-o", "locked.key")
        locked.tools("tpm2_changeauth", "-c", "e", "secret")
        said = self.make(nonce(), chip=locked, key="locked.key", code=4).err
        self.assertIn("the TPM's endorsement hierarchy has a password", said)
        self.assertIn("--endorsement-auth-file FILE", said)
        for name, word, code in (("wrong", "no secret", 4), ("right", "secret", 0)):
            LAB.write(name, word)
            os.chmod(LAB.path(name), 0o600)
            self.make(nonce(), "--endorsement-auth-file", name, chip=locked, key="locked.key", code=code)
        self.assertEqual(locked.wrong_passwords(), 0)
        self.nothing_is_left(locked)

    def test_padded_certificate(self):
        """Vendors pad the NV index: what is behind the DER does not matter."""
        folder = LAB.path("padded")
        chip = manufactured(folder, "--rsa-keysize", "2048")
        self.addCleanup(chip.stop)
        chip.tools("tpm2_nvread", "-C", "o", "0x01c00002", "-o", "ek.der")
        der = LAB.read("padded/ek.der")
        LAB.write("padded/long.der", der + b"\xff" * 300)
        chip.tools("tpm2_nvdefine", "-Q", "-C", "p", "-s", str(len(der) + 300), "-a",
                   "ppwrite|writedefine|ppread|ownerread|authread|no_da|platformcreate", "0x01c00012")
        chip.tools("tpm2_nvwrite", "-Q", "-C", "p", "-i", "long.der", "0x01c00012")
        on(chip, "key", "create", "-o", "padded.key")
        result = self.make(nonce(), "--ek", "H-1", chip=chip, key="padded.key")
        self.assertEqual(result.code, 0)
        # The certificate is of the key of the low range, and this evidence has the high range's: the judge sees that.
        LAB.write("padded.ini", "ek-roots = padded.roots\n")
        LAB.write("padded.roots", b"".join(LAB.read("padded/ca/" + f) for f in sorted(os.listdir(LAB.path("padded/ca")))
                                           if f.endswith("cert.pem") or f == "issuer.pem"))
        self.assertEqual(self.verdict(policy="padded.ini")["reason"], "ek-key")


class Forms(Case):
    def test_shown(self):
        self.make(nonce(), "--pcr", "sha256:0")
        text = attest("show", "evidence").out.decode()
        for line in (r"^evidence$", r"^  made for +a certificate$", r"^  challenge +not answered", r"^certification$",
                     r"^  made by +a TPM \(magic 0xff544347\)$", r"^  type +0x8017 \(certification of a key\)$",
                     r"^  attributes +fixedtpm\|.*\|restricted\|sign$", r"^  PCRs +sha256:0$", r"^  sha256:0 +0{64}$",
                     r"^  manufacturer +id:00001014$"):
            self.assertRegex(text, "(?m)" + line)

    def test_what_is_no_evidence(self):
        for content in (b"", b"hello\n", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", b"\x30\x03\x02\x01\x01"):
            LAB.write("nothing", content)
            self.assertEqual(LAB.tpmtls("attest", "show", "nothing").code, 1)

    def test_policies_with_faults(self):
        self.make(nonce())
        for text, said in (("manufacturer = IFX\n", "ek-roots"), ("ek-roots = chip.roots\nwho = me\n", "who"),
                           ("ek-roots = chip.roots\npcr-digest = 00\n", "pcrs"), ("ek-roots = nowhere\n", "nowhere"),
                           ("[x]\nek-roots = chip.roots\n", "no sections"), ("ek-roots = chip.roots\npcrs = md5:1\n", "md5:1"),
                           ("ek-roots = token.key\n", "")):
            LAB.write("faulty.ini", text)
            result = LAB.tpmtls("attest", "verify", "evidence", "--policy", "faulty.ini")
            self.assertIn(result.code, (1, 2), text)
            self.assertIn(said, result.err)


if __name__ == "__main__":
    harness.tap_main()
