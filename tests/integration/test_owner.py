"""tests/integration/test_owner.py: the owner hierarchy has a password: the storage root key that is there is used, another one by
--parent, and the password, where it is needed, is given and never crosses the bus."""

import json
import unittest

import harness
import interposer
from interposer import CREATE_PRIMARY
from swtpm import Swtpm

LAB = CHIP = OTHER = BUS = None
SRK = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
PASSWORD = "the word of the owner"
MAKERS = (("key", "create"), ("key", "seal"), ("key", "import", "soft.key"), ("key", "srk"), ("ticket-key", "--in-tpm"),
          ("psk", "import", "--identity", "me"))


def setUpModule():
    global LAB, CHIP, OTHER, BUS
    LAB = harness.Lab()
    CHIP, OTHER = Swtpm(LAB.path("chip")), Swtpm(LAB.path("other"))
    BUS = interposer.Interposer(LAB.path("bus"), CHIP, OTHER)
    LAB.env["TPMTLS_TPM"] = CHIP.tcti
    LAB.must("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "soft.key")
    LAB.write("owner", PASSWORD)
    LAB.write("wrong", "the word of somebody")


def tearDownModule():
    BUS.close()
    for chip in (CHIP, OTHER):
        chip.stop()
    LAB.close()


class Case(unittest.TestCase):
    def setUp(self):
        CHIP.tools("tpm2_clear", "-c", "p")
        LAB.must("sh", "-c", "rm -f made*")

    def ends(self, code, *args, says="", **kw):
        result = LAB.tpmtls(*args, **kw)
        self.assertEqual(result.code, code, "%s: %s" % (" ".join(args), result.err))
        self.assertIn(says, result.err)
        self.assertNotIn("Sanitizer", result.err)
        return result

    def storage_key(self, handle, attributes=SRK, algorithm="ecc256:aes128cfb"):
        CHIP.tools("tpm2_createprimary", "-Q", "-C", "o", "-G", algorithm, "-a", attributes, "-c", "srk.ctx")
        CHIP.tools("tpm2_flushcontext", "-t")
        CHIP.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "srk.ctx", handle)
        CHIP.tools("tpm2_flushcontext", "-t")

    def owned(self):
        CHIP.tools("tpm2_changeauth", "-Q", "-c", "owner", PASSWORD)

    def make(self, what, code, *options, says=""):
        name = "made." + "-".join(what).replace("/", "")
        LAB.must("rm", "-f", name)
        result = self.ends(code, *what, "-o", name, *options, stdin=b"0123456789abcdef" * 4, says=says)
        self.assertEqual(LAB.run("test", "-e", name).code == 0, code == 0)
        return name, result

    def used(self, key, code=0, *options, says=""):
        self.ends(code, "csr", "--key", key, "--subject", "/CN=x", "-o", "made.csr", *options, says=says)

    def parent(self, key):
        return LAB.tpmtls("key", "show", key).out.decode().split("parent:")[1].split()[0]

    def doctor(self, *options):
        result = LAB.tpmtls("--json", "doctor", "--quick", *options)
        return json.loads(result.out), result.code


class Owned(Case):
    def test_the_key_that_is_there(self):
        for attributes, algorithm in ((SRK, "ecc256:aes128cfb"), (SRK, "rsa2048:aes128cfb"), (SRK.replace("noda|", ""), "ecc256:aes128cfb")):
            CHIP.tools("tpm2_clear", "-c", "p")
            self.storage_key("0x81000001", attributes, algorithm)
            self.owned()
            for what in MAKERS:
                name, _ = self.make(what, 0)
            name, _ = self.make(("key", "create"), 0)
            self.assertEqual(self.parent(name), "0x81000001")
            self.used(name)
            seen, code = self.doctor()
            self.assertEqual((seen["srk"], code), ({"at_handle": True, "standard": False, "derivable": False, "usable": True,
                                                     "counts": "noda" not in attributes}, 0))

    def test_another_key_is_not_taken_for_it(self):
        """No storage key at all, and one with another template; --parent names it."""
        self.storage_key("0x81000001", algorithm="ecc384:aes256cfb")
        self.owned()
        for what in MAKERS:
            self.make(what, 4, says="--owner-auth-file FILE")
        self.assertEqual(self.doctor()[1], 4)
        name, _ = self.make(("key", "create"), 0, "--parent", "0x81000001")
        self.used(name)

    def test_the_password(self):
        self.owned()
        for what in MAKERS:
            self.make(what, 4, says="the TPM's owner hierarchy has a password")
            self.make(what, 4, "--owner-auth-file", "wrong", says="the owner's password is wrong")
            self.make(what, 0, "--owner-auth-file", "owner")
        self.assertEqual(self.doctor("--owner-auth-file", "owner")[1], 0)
        self.assertEqual(self.doctor()[1], 4)
        name, _ = self.make(("key", "create"), 0, "--owner-auth-file", "owner")
        self.used(name, 4, says="owner")
        self.used(name, 0, "--owner-auth-file", "owner")
        for auth, code in (((), 4), (("--owner-auth-file", "wrong"), 4), (("--owner-auth-file", "owner"), 0)):
            self.ends(code, "key", "persist", name, "0x81000077", *auth)
        for auth, code in (((), 4), (("--owner-auth-file", "wrong"), 4), (("--owner-auth-file", "owner"), 0)):
            self.ends(code, "key", "evict", "0x81000077", *auth)
        self.assertEqual(CHIP.wrong_passwords(), 0)

    def test_a_wrong_one_is_not_overlooked(self):
        self.storage_key("0x81000001")
        self.owned()
        self.make(("key", "create"), 4, "--owner-auth-file", "wrong", says="the owner's password is wrong")

    def test_a_file_that_names_the_hierarchy(self):
        """Made while the owner had no password; then somebody set it, and put the key at its place, or the wrong one there."""
        name, _ = self.make(("key", "create"), 0)
        self.assertEqual(self.parent(name), "0x40000001")
        self.storage_key("0x81000001")
        self.owned()
        self.used(name)
        CHIP.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-P", PASSWORD, "-c", "0x81000001")
        self.used(name, 4, says="--owner-auth-file FILE")

    def test_it_does_not_cross_the_bus(self):
        self.owned()
        BUS.reset()
        self.ends(0, "--tpm", BUS.tcti, "key", "create", "-o", "made.key", "--owner-auth-file", "owner")
        self.assertEqual(BUS.codes().count(CREATE_PRIMARY), 2)  # for the salt, and the storage root key
        self.assertNotIn(PASSWORD.encode(), b"".join(data for _, _, data in BUS.commands))
        BUS.reset()
        LAB.must("tpm2_changeauth", "-Q", "-c", "lockout", PASSWORD, env={"TPM2TOOLS_TCTI": BUS.tcti})
        self.assertIn(PASSWORD.encode(), b"".join(data for _, _, data in BUS.commands), "the control: this is how it looks")

    def test_the_options(self):
        self.ends(2, "key", "create", "-o", "made", "--owner-auth-file", "owner", "--owner-auth-fd", "3", says="one option --owner-auth-...")
        self.ends(2, "key", "create", "-o", "made", "--owner-auth-file", "/dev/null", says="is empty")


class Output(Case):
    def test_a_full_disk_is_a_failure(self):
        """Every command that prints its result; with a control of each."""
        name, _ = self.make(("key", "create"), 0)
        self.ends(0, "key", "persist", name, "0x81000077")
        for args in (("--version",), ("--help",), ("key", "list"), ("key", "show", name), ("doctor", "--quick"),
                     ("--json", "key", "list"), ("--json", "doctor", "--quick")):
            for where, code in (("/dev/null", 0), ("/dev/full", 1)):
                result = LAB.run("sh", "-c", '"$0" "$@" >' + where, harness.PROGRAM, *args)
                self.assertEqual(result.code, code, (args, result.err))
                self.assertEqual("standard output could not be written" in result.err, code == 1, result.err)


class Parent(Case):
    def test_named(self):
        self.storage_key("0x81000042", algorithm="rsa2048:aes128cfb")
        for what in MAKERS:
            self.make(what, 0, "--parent", "0x81000042")
        name, _ = self.make(("key", "create"), 0, "--parent", "handle:0x81000042")
        self.assertEqual(self.parent(name), "0x81000042")
        self.used(name)

    def test_refused(self):
        name, _ = self.make(("key", "create"), 0)
        self.ends(0, "key", "persist", name, "0x81000077")
        CHIP.tools("tpm2_createek", "-Q", "-G", "ecc", "-c", "0x81010002", "-u", "ek.pub")
        CHIP.tools("tpm2_flushcontext", "-t")
        self.make(("key", "create"), 4, "--parent", "0x81000078", says="0x81000078")
        self.make(("key", "create"), 1, "--parent", "0x81000077", says="is not a storage key")
        self.make(("key", "create"), 1, "--parent", "0x81010002", says="is an endorsement key")
        self.make(("key", "create"), 2, "--parent", "0x40000001", says="is not a persistent handle")
        self.make(("key", "create"), 2, "--parent", "81", says="eight hexadecimal digits")

    def test_one_that_counts_is_guarded(self):
        """A storage key that has a password, and counts: not once a start."""
        self.storage_key("0x81000042", SRK.replace("noda|", ""))
        self.owned()
        CHIP.tools("tpm2_createprimary", "-Q", "-C", "o", "-P", PASSWORD, "-p", "secret", "-a", SRK.replace("noda|", ""), "-c", "p.ctx")
        CHIP.tools("tpm2_evictcontrol", "-Q", "-C", "o", "-P", PASSWORD, "-c", "p.ctx", "0x81000043")
        CHIP.tools("tpm2_flushcontext", "-t")
        for _ in range(4):
            self.make(("key", "create"), 4, "--parent", "0x81000043")
        self.assertEqual(CHIP.wrong_passwords(), 2)
        self.make(("key", "create"), 4, "--parent", "0x81000042", says="the TPM has counted 2 of 3")
        CHIP.tools("tpm2_dictionarylockout", "-Q", "--clear-lockout")
        self.make(("key", "create"), 0, "--parent", "0x81000042")


if __name__ == "__main__":
    harness.tap_main()
