"""tests/integration/test_endorsement.py: endorsement keys and their certificates as chips hold them: what swtpm_setup makes, what
tpm2-tools make by the profile's templates, and NV memory that holds something else."""

import hashlib
import json
import random
import struct
import unittest

import harness
from swtpm import Swtpm, manufactured

LAB = CHIP = None
OPEN = "ppwrite|writedefine|ppread|ownerread|authread|no_da|platformcreate"
EK = "fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt"
# name, certificate, tpm2_createprimary's algorithm, the hash of the name and of the policy
HIGH = (("RSA-2048", 0x01c00012, "rsa2048:aes128cfb", "sha256"), ("P-256", 0x01c00014, "ecc256:aes128cfb", "sha256"),
        ("P-384", 0x01c00016, "ecc384:aes256cfb", "sha384"), ("P-521", 0x01c00018, "ecc521:aes256cfb", "sha512"),
        ("RSA-3072", 0x01c0001c, "rsa3072:aes256cfb", "sha384"))
ALGORITHMS = {"sha256": 0x0b, "sha384": 0x0c, "sha512": 0x0d}


def policy_b(name):
    """PolicyB of the profile, B.6, from its parts: PolicySecret(endorsement), or PolicyAuthorizeNV of the policy index."""
    def digest(data):
        return hashlib.new(name, data).digest()
    size = hashlib.new(name).digest_size
    a = digest(digest(bytes(size) + struct.pack(">II", 0x151, 0x4000000b)))
    index = struct.pack(">IHI", 0x01c07f01 + ALGORITHMS[name] - 0x0b, ALGORITHMS[name], 0x220F1008)
    index += struct.pack(">H", size) + a + struct.pack(">H", size + 2)
    c = digest(bytes(size) + struct.pack(">I", 0x192) + struct.pack(">H", ALGORITHMS[name]) + digest(index))
    return digest(bytes(size) + struct.pack(">I", 0x171) + a + c)


def setUpModule():
    global LAB, CHIP
    LAB = harness.Lab()
    CHIP = Swtpm(LAB.path("chip"))
    LAB.env["TPMTLS_TPM"] = CHIP.tcti
    LAB.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "root.key",
             "-subj", "/CN=Root of Vendors", "-days", "3650", "-out", "root.pem")
    LAB.must("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "between.key",
             "-subj", "/CN=On Die", "-out", "between.csr")
    LAB.write("between.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    LAB.must("openssl", "x509", "-req", "-in", "between.csr", "-CA", "root.pem", "-CAkey", "root.key", "-days", "3650", "-extfile",
             "between.ext", "-out", "between.pem")
    LAB.write("ek.ext", "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyEncipherment\nextendedKeyUsage=2.23.133.8.1\n")


def tearDownModule():
    CHIP.stop()
    LAB.close()


def doctor(*options, tpm=None):
    result = LAB.tpmtls("--tpm", (tpm or CHIP).tcti, "--json", "doctor", *options)
    if "Sanitizer" in result.err or result.code not in (0, 4):
        raise AssertionError("%d: %s" % (result.code, result.err))
    return json.loads(result.out)


def der(name):
    LAB.must("openssl", "x509", "-in", name + ".pem", "-outform", "DER", "-out", name + ".der")
    return LAB.read(name + ".der")


def issue(public, name="ek", issuer="root"):
    """An endorsement certificate for a public key (PEM), as DER."""
    LAB.must("openssl", "req", "-new", "-key", "root.key", "-subj", "/", "-out", "any.csr")
    LAB.must("openssl", "x509", "-req", "-in", "any.csr", "-force_pubkey", public, "-CA", issuer + ".pem", "-CAkey", issuer + ".key",
             "-days", "3650", "-extfile", "ek.ext", "-out", name + ".pem")
    return der(name)


class Case(unittest.TestCase):
    def setUp(self):
        self.defined = []
        self.addCleanup(self.remove)
        CHIP.tools("tpm2_clear", "-c", "p")

    def remove(self):
        for index in self.defined:
            CHIP.tools("tpm2_nvundefine", "-Q", "-C", "p", index)

    def put(self, index, content, attributes=OPEN):
        name = "0x%08x" % index
        if name in self.defined:
            CHIP.tools("tpm2_nvundefine", "-Q", "-C", "p", name)
            self.defined.remove(name)
        LAB.write("nv", content)
        CHIP.tools("tpm2_nvdefine", "-Q", "-C", "p", "-s", str(len(content)), "-a", attributes, name)
        self.defined.append(name)
        CHIP.tools("tpm2_nvwrite", "-Q", "-C", "p", "-i", LAB.path("nv"), name)

    def derive(self, algorithm, name, policy, attributes=EK, unique=None):
        """An endorsement key made by tpm2-tools: its public part in ek.pub.pem."""
        LAB.write("policy", policy)
        more = () if unique is None else ("-u", LAB.path(unique))
        CHIP.tools("tpm2_createprimary", "-Q", "-C", "e", "-G", algorithm, "-g", name, "-a", attributes, "-L", LAB.path("policy"),
                   "-c", "ek.ctx", *more)
        CHIP.tools("tpm2_readpublic", "-Q", "-c", "ek.ctx", "-f", "pem", "-o", LAB.path("ek.pub.pem"))
        CHIP.tools("tpm2_flushcontext", "-t")
        return "ek.pub.pem"

    def createek(self, algorithm, *options):
        CHIP.tools("tpm2_createek", "-Q", "-c", "ek.ctx", "-G", algorithm, "-u", LAB.path("ek.pub.pem"), "-f", "pem", *options)
        CHIP.tools("tpm2_flushcontext", "-t")
        return "ek.pub.pem"

    def only(self, page):
        self.assertEqual(len(page["ek"]["certificates"]), 1, page["ek"])
        return page["ek"]["certificates"][0]

    def hint(self, page, text):
        self.assertTrue(any(text in hint for hint in page["hints"]), page["hints"])


class Manufactured(unittest.TestCase):
    """What swtpm_setup makes: RSA at 0x81010001, P-384 at 0x81010016."""

    def pairs(self, *options):
        return {entry["nv_index"]: (entry["kind"], entry["match"], entry["handle"])
                for entry in doctor(*options, tpm=self.chip)["ek"]["certificates"]}

    def make(self, name, *options):
        self.chip = manufactured(LAB.path(name), *options)
        if self.chip is None:
            self.skipTest("swtpm_setup is not installed (package swtpm-tools)")
        self.addCleanup(self.chip.stop)

    def test_pairs(self):
        self.make("made")
        kept = {0x01c00002: ("RSA-2048", True, 0x81010001), 0x01c00016: ("P-384", True, 0x81010016)}
        self.assertEqual(self.pairs("--quick"), kept)
        text = LAB.tpmtls("--tpm", self.chip.tcti, "doctor", "--quick").out.decode()
        self.assertRegex(text, r"(?m)^EK keys: +0x81010001 \(RSA-2048, certificate 0x01c00002\)\n +0x81010016 \(P-384, certificate 0x01c00016\)$")
        self.assertRegex(text, r"(?m)^EK certificate: 0x01c00016: P-384, by .*; of the key at 0x81010016; chain: not asked for$")
        # TPM2_Clear removes both keys and no certificate: they are derived, but RSA not in a hurry.
        self.chip.tools("tpm2_clear", "-c", "p")
        self.assertEqual(self.pairs(), {0x01c00002: ("RSA-2048", True, None), 0x01c00016: ("P-384", True, None)})
        self.assertEqual(self.pairs("--quick"), {0x01c00002: ("RSA-2048", None, None), 0x01c00016: ("P-384", True, None)})
        text = LAB.tpmtls("--tpm", self.chip.tcti, "doctor", "--quick").out.decode()
        self.assertRegex(text, r"(?m)^EK certificate: 0x01c00016: .*; of the key that the TPM derives; ")
        self.chip.tools("tpm2_changeauth", "-c", "e", "secret")
        self.assertEqual({match for _, match, _ in self.pairs().values()}, {None})
        self.assertEqual(self.chip.wrong_passwords(), 0)

    def test_rsa_3072(self):
        self.make("large", "--rsa-keysize", "3072")
        self.assertEqual(self.pairs("--quick")[0x01c0001c], ("RSA-3072", True, 0x8101001c))
        self.chip.tools("tpm2_clear", "-c", "p")
        self.assertEqual(self.pairs()[0x01c0001c], ("RSA-3072", True, None))


class Profile(Case):
    def test_low_range(self):
        for algorithm, index, name in (("rsa", 0x01c00002, "RSA-2048"), ("ecc", 0x01c0000a, "P-256")):
            self.put(index, issue(self.createek(algorithm)))
            entry = next(e for e in doctor()["ek"]["certificates"] if e["nv_index"] == index)
            self.assertEqual((entry["kind"], entry["match"], entry["handle"]), (name, True, None))

    def test_high_range(self):
        for name, index, algorithm, hash_name in HIGH:
            self.put(index, issue(self.derive(algorithm, hash_name, policy_b(hash_name), EK + "|userwithauth")))
            entry = next(e for e in doctor()["ek"]["certificates"] if e["nv_index"] == index)
            self.assertEqual((entry["kind"], entry["match"], entry["handle"]), (name, True, None), name)

    def test_another_key(self):
        """A certificate of another chip's key; and the right certificate at the place of another kind."""
        LAB.must("openssl", "ec", "-in", "between.key", "-pubout", "-out", "stranger.pub.pem")
        self.put(0x01c0000a, issue("stranger.pub.pem"))
        page = doctor("--quick")
        self.assertEqual((self.only(page)["match"], self.only(page)["handle"]), (False, None))
        self.hint(page, "0x01c0000a is of no endorsement key of this TPM")
        text = LAB.tpmtls("--tpm", CHIP.tcti, "doctor", "--quick").out.decode()
        self.assertIn("of NO endorsement key of this TPM", text)
        self.put(0x01c0000a, issue(self.createek("ecc")))
        self.assertTrue(self.only(doctor("--quick"))["match"])

    def test_a_key_at_another_handle(self):
        public = self.createek("ecc")
        CHIP.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "ek.ctx", "0x81010099")
        self.put(0x01c0000a, issue(public))
        page = doctor("--quick")
        self.assertEqual((self.only(page)["match"], self.only(page)["handle"]), (True, 0x81010099))
        self.assertEqual([(k["handle"], k["certificate"]) for k in page["ek"]["keys"]], [(0x81010099, 0x01c0000a)])

    def test_nonce(self):
        """The nonce in front of the zeros of "unique", in the TPM's own template or in the profile's."""
        for nonce in (bytes(range(1, 17)), bytes(range(1, 33))):
            template = self.low_template(nonce.ljust(32, b"\0"))
            self.put(0x01c0000a, issue(self.create_primary(template)))
            self.assertFalse(self.only(doctor("--quick"))["match"])
            self.put(0x01c0000b, nonce)
            page = doctor("--quick")
            self.assertEqual((self.only(page)["match"], page["ek"]["keys"][0]["own_nonce"], page["ek"]["keys"][0]["own_template"]),
                             (True, True, False))
            self.put(0x01c0000c, self.low_template(bytes(32)))
            page = doctor("--quick")
            self.assertEqual((self.only(page)["match"], page["ek"]["keys"][0]["own_nonce"], page["ek"]["keys"][0]["own_template"]),
                             (True, True, True))
            self.remove()
            self.defined = []

    def low_template(self, x):
        """TPMT_PUBLIC of L-2 (part 2, 12.2.4), with this x."""
        policy = bytes.fromhex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
        area = struct.pack(">HHIH", 0x23, 0x0b, 0x300b2, len(policy)) + policy
        return area + struct.pack(">HHHHHH", 6, 128, 0x43, 0x10, 3, 0x10) + struct.pack(">H", 32) + x + struct.pack(">H", 32) + bytes(32)

    def create_primary(self, template):
        """TPM2_CreatePrimary by hand (part 3, 24.1): tpm2_createek 5.4 -t makes another key each time where there is a nonce."""
        body = struct.pack(">II", 0x4000000b, 9) + struct.pack(">IHBH", 0x40000009, 0, 0, 0) + struct.pack(">HHH", 4, 0, 0)
        body += struct.pack(">H", len(template)) + template + struct.pack(">HI", 0, 0)
        LAB.write("command", struct.pack(">HII", 0x8002, 10 + len(body), 0x131) + body)
        CHIP.tools("tpm2_send", LAB.path("command"), "-o", LAB.path("answer"))
        CHIP.tools("tpm2_flushcontext", "-t")
        answer = LAB.read("answer")
        self.assertEqual(answer[6:10], bytes(4), answer[:10].hex())
        size, = struct.unpack(">H", answer[18:20])  # header, handle, size of the parameters
        point = answer[20:20 + size][-68:]
        spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + point[2:34] + point[36:68]
        LAB.write("ek.pub.der", spki)
        LAB.must("openssl", "pkey", "-pubin", "-inform", "DER", "-in", "ek.pub.der", "-out", "ek.pub.pem")
        return "ek.pub.pem"

    def test_template(self):
        """Another policy than the profile's; and a template that makes a signing key is not followed."""
        template = struct.pack(">HHI", 0x23, 0x0b, 0x300f2) + struct.pack(">H", 0)
        template += struct.pack(">HHHHHHHH", 6, 128, 0x43, 0x10, 3, 0x10, 0, 0)
        public = self.derive("ecc256:aes128cfb", "sha256", b"", EK + "|userwithauth")
        self.put(0x01c00014, issue(public))
        self.assertFalse(self.only(doctor("--quick"))["match"])
        self.put(0x01c00015, template)
        page = doctor("--quick")
        self.assertEqual((self.only(page)["match"], page["ek"]["keys"][0]["own_template"]), (True, True))
        self.put(0x01c00015, template.replace(struct.pack(">I", 0x300f2), struct.pack(">I", 0x50072)))
        page = doctor("--quick")
        self.assertIsNone(self.only(page)["match"])
        self.assertIn("0x01c00015 holds no template", page["ek"]["why"])


class Chain(Case):
    def chained(self, *options):
        page = doctor("--quick", "--ek-roots", "root.pem", *options)
        return self.only(page)["chain"] == "leads to a root that was given", page["ek"]

    def test_where_it_lies(self):
        """In one index, padded; behind another certificate; cut over two; the certificate is not trusted for being there."""
        self.put(0x01c0000a, issue(self.createek("ecc"), issuer="between"))
        between, root = der("between"), der("root")
        self.assertFalse(self.chained()[0])
        LAB.must("openssl", "req", "-x509", "-key", "between.key", "-subj", "/CN=On Die", "-days", "30", "-out", "self.pem")
        for indexes in (((0x100, between + b"\xff" * 40),), ((0x100, root + between),), ((0x1ff, between),),
                        ((0x100, root + between[:100]), (0x101, between[100:])), ((0x110, bytes(7) + root), (0x1a0, between + bytes(9)))):
            for index, content in indexes:
                self.put(0x01c00000 + index, content)
            good, seen = self.chained()
            self.assertTrue(good, seen)
            self.assertEqual((seen["chain_indexes"], seen["chain_why"]), (len(indexes), ""))
            for index, _ in indexes:
                CHIP.tools("tpm2_nvundefine", "-Q", "-C", "p", self.defined.pop())
        self.put(0x01c00200, between)  # beyond the chain's place
        self.assertFalse(self.chained()[0])
        self.put(0x01c00100, der("self"))
        good, seen = self.chained()
        self.assertFalse(good)
        self.assertEqual([c["subject"] for c in seen["chain"]], ["CN=On Die"])

    def test_not_whole(self):
        self.put(0x01c0000a, issue(self.createek("ecc"), issuer="between"))
        self.put(0x01c00100, der("between") + der("root")[:-1])
        page = doctor("--quick", "--ek-roots", "root.pem")
        self.assertEqual(self.only(page)["chain"], "leads to a root that was given")
        self.hint(page, "chain of the endorsement certificate (0x01c00100 and on) is not whole")


class Hostile(Case):
    def test_what_cannot_be_read(self):
        """Never written; a counter; behind a password; that whose password counts: said, and no password counted."""
        CHIP.tools("tpm2_nvdefine", "-Q", "-C", "p", "-s", "40", "-a", OPEN, "0x01c00002")
        CHIP.tools("tpm2_nvdefine", "-Q", "-C", "p", "-a", "ppwrite|ppread|ownerread|authread|no_da|platformcreate|nt=counter",
                   "0x01c0000a")
        CHIP.tools("tpm2_nvdefine", "-Q", "-C", "p", "-s", "40", "-p", "secret", "-a", OPEN.replace("ownerread|", ""), "0x01c00012")
        CHIP.tools("tpm2_nvdefine", "-Q", "-C", "p", "-s", "40", "-a", OPEN.replace("ownerread|", "").replace("no_da|", ""), "0x01c00014")
        self.defined += ["0x01c00002", "0x01c0000a", "0x01c00012", "0x01c00014"]
        for index in ("0x01c00012", "0x01c00014"):
            CHIP.tools("tpm2_nvwrite", "-Q", "-C", "p", "-i", LAB.path(LAB.write("nv", bytes(40))), index)
        said = {e["nv_index"]: e["chain"] for e in doctor("--quick")["ek"]["certificates"]}
        for index, words in ((0x01c00002, "nothing was ever written"), (0x01c0000a, "a counter"),
                             (0x01c00012, "wants a password"), (0x01c00014, "the empty one is not tried")):
            self.assertIn(words, said[index])
        self.assertEqual(CHIP.wrong_passwords(), 0)

    def test_anything_in_them(self):
        draw = random.Random(20)
        pieces = [issue(self.createek("ecc")), der("between"), b"\x30\x82\xff\xff", b"\x30\x84\xff\xff\xff\xff", bytes(30), b"\xff" * 30,
                  struct.pack(">HHI", 1, 0x0b, 0x300b2), b"\x00"]
        for _ in range(12):
            for index in (0x01c0000a, 0x01c0000b, 0x01c0000c, 0x01c00100, 0x01c00101):
                content = b"".join(draw.choice(pieces)[:draw.randrange(1, 700)] for _ in range(draw.randrange(1, 4)))
                self.put(index, content[:2048])
            doctor("--quick", "--ek-roots", "root.pem")
            self.assertEqual(LAB.tpmtls("--tpm", CHIP.tcti, "doctor", "--quick").code, 0)


if __name__ == "__main__":
    harness.tap_main()
