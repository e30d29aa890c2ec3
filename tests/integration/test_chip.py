"""tests/integration/test_chip.py: what a chip is found with: not started, certificates in its NV memory, keys of others."""

import base64
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
    LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=CA")


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
        for chip, starts in ((CHIP, 0), (self.chip, 1)):
            LAB.write("report", "")
            self.ends(0, "--tpm", "lab:report=%s:%s" % (report, chip.tcti), "key", "list", env=harness.LAB_TCTI)
            names = [line.split()[1] for line in LAB.read("report").decode().splitlines()]
            self.assertEqual(names.count("Startup"), starts, names)


class Unreachable(Case):
    def doctor(self, tpm):
        return json.loads(self.ends(4, "--tpm", tpm, "--json", "doctor", "--quick", env=harness.LAB_TCTI).out)

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


class Attestation(Case):
    """A request for a restricted signing key: the TPM hashes what it signs."""

    AK = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign"

    def setUp(self):
        CHIP.tools("tpm2_clear", "-c", "p")

    def key(self, algorithm, attributes=AK, *more):
        """An attestation key at 0x81010003, made by tpm2-tools under a storage key."""
        CHIP.tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "srk.ctx")
        CHIP.tools("tpm2_create", "-Q", "-C", "srk.ctx", "-G", algorithm, "-a", attributes, "-u", "ak.pub", "-r", "ak.priv", *more)
        CHIP.tools("tpm2_flushcontext", "-t")
        CHIP.tools("tpm2_load", "-Q", "-C", "srk.ctx", "-u", "ak.pub", "-r", "ak.priv", "-c", "ak.ctx")
        CHIP.tools("tpm2_flushcontext", "-t")
        CHIP.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "ak.ctx", "0x81010003")
        CHIP.tools("tpm2_flushcontext", "-t")

    def request(self, *options, code=0, says="", key="handle:0x81010003"):
        LAB.must("rm", "-f", "ak.csr")
        return self.ends(code, "csr", "--key", key, "--subject", "/CN=ak", "-o", "ak.csr", *options, says=says)

    def check(self, algorithm):
        seen = LAB.must("openssl", "req", "-in", "ak.csr", "-verify", "-noout", "-text")
        self.assertIn("self-signature verify OK", seen.err + seen.out.decode())  # OpenSSL 3.6 says it on stdout
        self.assertRegex(seen.out.decode(), "Signature Algorithm: " + algorithm)
        self.assertIn("CN=ak", LAB.must("certtool", "--crq-info", "--infile", "ak.csr").out.decode())
        self.assertEqual(CHIP.tools("tpm2_getcap", "handles-transient"), "")

    def test_kinds(self):
        for algorithm, signature in (("ecc256:ecdsa-sha256", "ecdsa-with-SHA256"), ("ecc384:ecdsa-sha384", "ecdsa-with-SHA384"),
                                     ("rsa2048:rsassa-sha256", "sha256WithRSA"), ("rsa2048:rsassa-sha384", "sha384WithRSA"),
                                     ("rsa2048:rsapss-sha256", "rsassaPss")):
            CHIP.tools("tpm2_clear", "-c", "p")
            self.key(algorithm + ":null")
            self.request()
            self.check(signature)

    def test_the_ticket_is_needed(self):
        """The control: the TPM refuses a digest that it has not hashed itself."""
        self.key("ecc256:ecdsa-sha256:null")
        LAB.write("digest", bytes(range(32)))
        with self.assertRaisesRegex(AssertionError, "ticket"):
            CHIP.tools("tpm2_sign", "-c", "0x81010003", "-g", "sha256", "-d", "-o", "sig", LAB.path("digest"))

    def test_long(self):
        """More than one command takes: a sequence of them, of which nothing stays."""
        self.key("ecc256:ecdsa-sha256:null")
        for n in (20, 40, 99):
            self.request(*(word for i in range(n) for word in ("--san", "DNS:host-%d.a-long-domain.example.org" % i)))
            self.check("ecdsa-with-SHA256")

    def test_tpm2_createak(self):
        """As tpm2_createak makes it: under the endorsement key, and it counts wrong passwords: --auth-empty says that it has none."""
        CHIP.tools("tpm2_createek", "-Q", "-c", "ek.ctx", "-G", "ecc")
        CHIP.tools("tpm2_flushcontext", "-t")
        CHIP.tools("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc", "-g", "sha256", "-s", "ecdsa")
        for what in ("-t", "-l"):
            CHIP.tools("tpm2_flushcontext", what)
        CHIP.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "ak.ctx", "0x81010003")
        CHIP.tools("tpm2_flushcontext", "-t")
        self.request(code=4, says="--auth-empty")
        self.request("--auth-empty")
        self.check("ecdsa-with-SHA256")
        self.assertEqual(CHIP.wrong_passwords(), 0)

    def test_a_password(self):
        self.key("ecc256:ecdsa-sha256:null", self.AK, "-p", "right")
        LAB.write("pw", "right\n")
        LAB.write("no", "wrong\n")
        self.request("--auth-file", "pw")
        self.check("ecdsa-with-SHA256")
        self.request("--auth-file", "no", code=4)

    def test_certified(self):
        """And by ca sign; the TPM's own attestation is the same key's."""
        self.key("ecc256:ecdsa-sha256:null")
        self.request()
        self.ends(0, "ca", "sign", "--dir", "ca", "ak.csr", "-o", "ak.pem")
        CHIP.tools("tpm2_quote", "-c", "0x81010003", "-l", "sha256:0", "-m", LAB.path("quote"), "-s", LAB.path("quote.sig"), "-f", "plain")
        LAB.must("sh", "-c", "openssl x509 -in ak.pem -pubkey -noout > ak.spki")
        LAB.must("openssl", "dgst", "-sha256", "-verify", "ak.spki", "-signature", "quote.sig", "quote")

    def test_not_for_tls(self):
        self.key("ecc256:ecdsa-sha256:null")
        self.request()
        self.ends(0, "ca", "sign", "--dir", "ca", "ak.csr", "-o", "ak.pem")
        self.ends(1, "connect", "127.0.0.1:9", "--ca", "ca/ca.pem", "--key", "handle:0x81010003", "--cert", "ak.pem",
                  says="is restricted (an attestation key)")
        self.ends(0, "key", "show", "handle:0x81010003")

    def test_storage_keys_do_not_sign(self):
        CHIP.tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "srk.ctx")
        CHIP.tools("tpm2_flushcontext", "-t")
        CHIP.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "srk.ctx", "0x81010003")
        CHIP.tools("tpm2_flushcontext", "-t")
        self.request(code=1, says="is a storage key")


class Faults(Case):
    """The TPM refuses, asks for a repeat, or goes away while it reads NV memory or hashes."""

    def setUp(self):
        CHIP.tools("tpm2_clear", "-c", "p")

    def play(self, faults, run, says):
        """What it says where the fault is only a repeat, and nowhere else."""
        for fault in faults:
            tpm = "lab:fault=%s:%s" % (fault, CHIP.tcti)
            result = LAB.tpmtls("--tpm", tpm, *run, env=harness.LAB_TCTI)
            self.assertNotIn("Sanitizer", result.err, fault)
            self.assertEqual(says in result.err, fault.startswith("retry"), "%s: %s" % (fault, result.err))
            self.assertIn(result.code, (0, 1, 4))
            self.assertEqual(CHIP.tools("tpm2_getcap", "handles-transient"), "", fault)
            self.assertEqual(CHIP.tools("tpm2_getcap", "handles-loaded-session"), "", fault)

    def test_hashing(self):
        Attestation.key(self, "ecc256:ecdsa-sha256:null")
        names = [word for i in range(60) for word in ("--san", "DNS:host-%d.a-long-domain.example.org" % i)]
        run = ("csr", "--key", "handle:0x81010003", "--subject", "/CN=ak", *names, "-o", "faulty.csr")
        LAB.must("rm", "-f", "faulty.csr")
        self.play(["%s@%s#1-" % (what, command) for what in ("failure", "0x902") for command in
                   ("HashSequenceStart", "SequenceUpdate", "SequenceComplete", "Sign")] +
                  ["retry@%s#1-2" % command for command in ("HashSequenceStart", "SequenceUpdate", "SequenceComplete", "Sign")], run, "wrote faulty.csr")
        self.assertTrue(os.path.exists(LAB.path("faulty.csr")))

    def test_reading(self):
        LAB.write("nv", bytes(700))
        CHIP.tools("tpm2_nvdefine", "-Q", "-C", "o", "-s", "700", "-a", "ownerread|ownerwrite|authread|authwrite|no_da", "0x01800002")
        self.addCleanup(CHIP.tools, "tpm2_nvundefine", "-Q", "-C", "o", "0x01800002")
        CHIP.tools("tpm2_nvwrite", "-Q", "-C", "o", "-i", LAB.path("nv"), "0x01800002")
        LAB.must("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "soft.pem")
        run = ("connect", "127.0.0.1:9", "--ca", "ca/ca.pem", "--key", "soft.pem", "--cert", "handle:0x01800002")
        self.play(["%s@%s#1-" % (what, command) for what in ("failure", "0x903", "garble.1", "garble.7", "shorten.12")
                   for command in ("NV_Read", "NV_ReadPublic")] +
                  ["retry@%s#1-2" % command for command in ("NV_Read", "NV_ReadPublic")], run, "does not hold certificates")


class OddFiles(Case):
    """Key files as others write them: what is wrong is named."""

    @classmethod
    def setUpClass(cls):
        CHIP.tools("tpm2_clear", "-c", "p")
        cls.pub, cls.priv = cls.make("ecc256")

    @staticmethod
    def make(algorithm, attributes="fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"):
        CHIP.tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc256:aes128cfb", "-a",
                   "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt", "-c", "p.ctx")
        CHIP.tools("tpm2_create", "-Q", "-C", "p.ctx", "-G", algorithm, "-a", attributes, "-u", LAB.path("x.pub"), "-r", LAB.path("x.priv"))
        CHIP.tools("tpm2_flushcontext", "-t")
        return LAB.read("x.pub"), LAB.read("x.priv")

    @staticmethod
    def tlv(tag, content):
        n = len(content)
        size = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else bytes([0x82, n >> 8, n & 255])
        return bytes([tag]) + size + content

    def file(self, pub=None, priv=None, parent=0x40000001, kind=3, fields=None, oid=b"\x67\x81\x05\x0a\x01", tail=b""):
        tlv = self.tlv
        number = parent.to_bytes((parent.bit_length() + 8) // 8, "big") if isinstance(parent, int) else parent
        body = tlv(6, oid + bytes([kind])) + (tlv(0xa0, tlv(1, b"\xff")) if fields is None else fields) + tlv(2, number)
        return tlv(0x30, body + tlv(4, self.pub if pub is None else pub) + tlv(4, self.priv if priv is None else priv) + tail)

    def says(self, words, der, code=1):
        LAB.write("odd.key", b"-----BEGIN TSS2 PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END TSS2 PRIVATE KEY-----\n")
        LAB.must("rm", "-f", "odd.csr")
        self.ends(code, "csr", "--key", "odd.key", "--subject", "/CN=x", "-o", "odd.csr", says=words)

    def test_it_works_as_it_should(self):
        self.says("", self.file(), code=0)
        self.says("", self.file(parent=b"\x40\x00\x00\x01"), code=0)

    def test_algorithms(self):
        for algorithm, words in (("ecc224", "curve (NIST P-224)"), ("ecc192", "curve (NIST P-192)"), ("ecc_sm2", "curve (SM2)"),
                                 ("ecc256:ecdsa-sha384", "the hash SHA-384"), ("ecc256:ecdaa", "ECDAA (anonymous attestation)"),
                                 ("ecc256:ecschnorr-sha256", "EC-Schnorr"), ("hmac", "keyed hash (HMAC key or sealed data)")):
            self.says(words, self.file(*self.make(algorithm)))

    def test_algorithms_of_tomorrow(self):
        for number, words in ((0x00a1, "ML-DSA"), (0x0060, "EdDSA"), (0x7777, "TPM_ALG_ID 0x7777")):
            self.says(words, self.file(pub=self.pub[:2] + number.to_bytes(2, "big") + self.pub[4:]))

    def test_public_areas(self):
        self.says("lacks the two bytes of its size", self.file(pub=self.pub[2:], priv=self.priv[2:]))
        self.says("says that it has", self.file(pub=self.pub + b"x"))
        self.says("cut off", self.file(pub=b"\0"))
        self.says("is damaged", self.file(pub=b"\0\x10" + self.pub[2:18]))

    def test_parents(self):
        for parent, words in ((0, "a PCR"), (0x80000000, "the place of an object for a while"),
                              (0x01c00002, "an NV index"), (0x4000000a, "TPM_RH_LOCKOUT"), (0x40000010, "no handle that TPMs have"),
                              (0x02000000, "a session")):
            self.says(words, self.file(parent=parent))

    def test_forms(self):
        tlv = self.tlv
        self.says("field [1], policy", self.file(fields=tlv(0xa1, tlv(0x30, tlv(0x30, tlv(0xa0, tlv(2, b"\1" + bytes(5))) + tlv(0xa1, tlv(4, b"")))))))
        self.says("field [0], emptyAuth", self.file(fields=tlv(0xa0, tlv(2, b"\1"))))
        self.says("there twice or behind", self.file(fields=tlv(0xa0, tlv(1, b"\xff")) * 2))
        self.says("a field [6]", self.file(fields=tlv(0xa6, tlv(1, b"\xff"))))
        self.says("tag 0x31", self.file(fields=tlv(0x31, b"")))
        self.says("lacks its parent", self.file(parent=bytes(9)))
        self.says("goes on behind", self.file(tail=tlv(4, b"x")))
        self.says("2.23.133.10.1.2 is neither", self.file(kind=2))
        self.says("its OID is not one of 2.23.133.10.1", self.file(oid=b"\x2a\x03\x04\x05\x06"))
        self.says("lacks its secret", self.file(kind=4))
        self.says("`tpmtls key unseal`", self.file(kind=5))

    def test_der(self):
        LAB.write("odd.der", self.file())
        result = self.ends(1, "csr", "--key", "odd.der", "--subject", "/CN=x", says="is a TPM key file in DER form")
        command = next(line for line in result.err.splitlines() if "hint: " in line).split("hint: ")[1].split(" makes that of it")[0]
        LAB.must("sh", "-c", command + " > odd.pem")
        self.ends(0, "csr", "--key", "odd.pem", "--subject", "/CN=x", "-o", "odd.csr")


if __name__ == "__main__":
    harness.tap_main()
