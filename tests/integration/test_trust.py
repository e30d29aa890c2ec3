"""tests/integration/test_trust.py: somebody on the bus puts a TPM of his own in place of ours, at once or later: nothing
secret is sent to it, nothing is made in it, where the storage key's name is known."""

import json
import os
import struct
import unittest

import harness
import interposer
from interposer import CREATE, IMPORT, LOAD, READ_PUBLIC, SIGN, START_SESSION
from swtpm import Swtpm

LAB = CHIP = OTHER = BUS = NAME = None
SRK = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"


def setUpModule():
    global LAB, CHIP, OTHER, BUS, NAME
    LAB = harness.Lab()
    CHIP, OTHER = Swtpm(LAB.path("chip")), Swtpm(LAB.path("other"))
    BUS = interposer.Interposer(LAB.path("bus"), CHIP, OTHER)
    LAB.env["TPMTLS_TPM"] = CHIP.tcti
    LAB.env["XDG_STATE_HOME"] = LAB.path("state-home")
    LAB.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=CA")
    LAB.tpm_identity("device", "p256", "/CN=device", "client")
    LAB.must("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "soft.key")
    LAB.must(harness.PROGRAM, "csr", "--key", "soft.key", "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", "s.csr")
    LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "s.csr", "--profile", "server", "-o", "soft.pem")
    LAB.write("pw", "a long enough word")
    NAME = LAB.must(harness.PROGRAM, "key", "srk", "-o", "srk.pub").err.split("--srk-name: ")[1].split()[0]


def tearDownModule():
    BUS.close()
    for chip in (CHIP, OTHER):
        chip.stop()
    LAB.close()


class Case(unittest.TestCase):
    def setUp(self):
        BUS.reset()
        BUS.lie = None
        self.empty()
        LAB.must("rm", "-rf", "state-home")

    def empty(self):
        for chip in (CHIP, OTHER):  # what the program wanted to be flushed is in the one it was not said to
            chip.tools("tpm2_flushcontext", "-t")
            chip.tools("tpm2_flushcontext", "-l")

    def on_the_bus(self, *args, **kw):
        return LAB.run(harness.PROGRAM, "--tpm", BUS.tcti, *args, **kw)

    def connect(self, server, *options):
        return self.on_the_bus("connect", "localhost:" + server.port, "--ca", "ca/ca.pem", *options, stdin=b"hello\n")

    def serve(self):
        return LAB.serve("--client-ca", "ca/ca.pem", key="soft")

    def nothing_sent(self):
        self.assertEqual(BUS.to_other(CREATE, IMPORT, LOAD, START_SESSION), [])


class Later(Case):
    """It is our TPM at first, and the key in use says how its storage key is called."""

    DEVICE = ("--key", "device.key", "--cert", "device.pem")

    def test_held_tickets(self):
        with self.serve() as server:
            result = self.connect(server, *self.DEVICE, "--resume", "held")
            self.assertEqual(result.out, b"hello\n", result.err)
            self.assertGreaterEqual(BUS.codes().count(CREATE), 3)  # the directory's key, and two halves
            BUS.reset((SIGN, 1))
            result = self.connect(server, *self.DEVICE, "--resume", "held")
            self.assertFalse(BUS.turned, "the ticket is used")
            LAB.must("sh", "-c", "rm state-home/tpmtls/sessions/*.json")
            BUS.reset((SIGN, 1))
            result = self.connect(server, *self.DEVICE, "--resume", "held")
        self.assertTrue(BUS.turned)
        self.assertEqual(result.out, b"hello\n", result.err)
        self.assertIn("storage key is not the right one", result.err)
        self.nothing_sent()
        self.assertEqual([n for n in os.listdir(LAB.path("state-home/tpmtls/sessions")) if n.endswith(".json")], [])

    def test_the_directory_s_first_key(self):
        for mode in ("sealed", "held"):
            self.empty()
            with self.serve() as server:
                BUS.reset((LOAD, 1))
                result = self.connect(server, *self.DEVICE, "--resume", mode)
            self.assertTrue(BUS.turned)
            self.assertIn("storage key is not the right one", result.err)
            self.nothing_sent()

    def test_control_without_a_known_name(self):
        with self.serve() as server:
            BUS.reset((LOAD, 0))
            self.connect(server, "--resume", "sealed")
        self.assertNotEqual(BUS.to_other(CREATE), [])

    def test_the_session_directory_knows(self):
        with self.serve() as server:
            self.assertEqual(self.connect(server, "--resume", "sealed").out, b"hello\n")
            BUS.reset((LOAD, 0))
            result = self.connect(server, "--resume", "sealed")
        self.assertIn("parent is not the one", result.err)
        self.nothing_sent()

    def test_a_psk_says_it_too(self):
        LAB.must("rm", "-f", "psk")
        LAB.must(harness.PROGRAM, "psk", "import", "--identity", "me", "-o", "psk", stdin=b"0123456789abcdef" * 4)
        with self.serve() as server:
            BUS.reset((LOAD, 2))
            result = self.connect(server, "--psk", "psk", "--resume", "sealed")
        self.assertIn("storage key is not the right one", result.err)
        self.nothing_sent()


class Named(Case):
    """From the start, and --srk-name says what it should be."""

    def commands(self):
        secret = b"0123456789abcdef" * 4
        auth = ("--auth-file", "pw")
        return ((("key", "create"), b""), (("key", "create", *auth), b""), (("key", "seal", "-"), secret),
                (("key", "import", "soft.key", *auth), b""), (("psk", "import", "--identity", "me"), secret),
                (("ticket-key", "--in-tpm"), b""), (("key", "srk"), b""))

    def test_every_creation(self):
        for command, stdin in self.commands():
            words = " ".join(command)
            for named, code in (((), 0), (("--srk-name", NAME), 4)):
                self.empty()
                BUS.reset((LOAD, 0))
                LAB.must("rm", "-f", "made")
                result = self.on_the_bus(*named, *command, "-o", "made", stdin=stdin)
                self.assertEqual(result.code, code, words + ": " + result.err)
                self.assertEqual(os.path.exists(LAB.path("made")), code == 0, words)
            self.assertIn("storage key is not the right one", result.err)
            self.nothing_sent()
            BUS.reset()
            result = self.on_the_bus("--srk-name", NAME, *command, "-o", "made", stdin=stdin)
            self.assertEqual(result.code, 0, words + ": " + result.err)

    def test_a_name_that_is_none(self):
        for name in ("", "xy", "00", "0" * 134, "000"):
            result = self.on_the_bus("--srk-name", name, "key", "create", "-o", "made")
            self.assertEqual(result.code, 2, name + ": " + result.err)


class Lies(Case):
    def test_a_name_that_is_not_of_its_public_area(self):
        """TPM2_ReadPublic answered with another key, and the right name behind it."""
        for chip in (CHIP, OTHER):
            chip.tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc256:aes128cfb", "-a", SRK, "-c", "srk.ctx")
            chip.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "srk.ctx", "0x81000001")
            chip.tools("tpm2_flushcontext", "-t")
        OTHER.tools("tpm2_readpublic", "-Q", "-c", "0x81000001", "-o", "srk.pub")
        theirs = LAB.read("other/srk.pub")
        LAB.must("rm", "-f", "secret.key")
        LAB.must(harness.PROGRAM, "key", "create", "-o", "secret.key", "--auth-file", "pw")
        self.assertEqual(json.loads(LAB.must(harness.PROGRAM, "--json", "key", "show", "secret.key").out)["parent"], "0x81000001 (storage root key)")

        def lie(code, _, response):
            size, = struct.unpack(">H", response[10:12]) if code == READ_PUBLIC and len(response) > 12 else (0,)
            if size == len(theirs) - 2:
                return response[:10] + theirs + response[12 + size:]
            return response

        for liar, salted_to in ((None, [0x81000001]), (lie, [])):
            BUS.reset()
            BUS.lie = liar
            result = self.on_the_bus("csr", "--key", "secret.key", "--auth-file", "pw", "--subject", "/CN=x", "-o", "x.csr")
            self.assertEqual(result.code, 4 if liar else 0, result.err)
            keys = [struct.unpack(">I", c[2][10:14])[0] for c in BUS.commands if c[1] == START_SESSION]
            self.assertEqual(keys, salted_to)


if __name__ == "__main__":
    harness.tap_main()
