"""tests/integration/test_pkcs11_compare.py: the PKCS#11 module beside SoftHSM and OpenSC's, call by call, where the standard is
silent or leaves a choice. docs/pkcs11.md has the table of what differs; this sees that it is true, for the versions that it
names. OpenSC's module has no token without a card reader, so it is asked only what needs none."""

import os
import re
import signal
import unittest

import harness
from tokens import MODULE, PIN, TokenLab, needs

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
OPENSC = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so"
TOKENS = {"ec": "pin-p256", "rsa": "pin-rsa2048"}
LAB = OURS = None


def setUpModule():
    global LAB, OURS
    LAB = TokenLab(tuple(TOKENS.values()))
    LAB.must("cc", os.path.join(harness.ROOT, "tests/pkcs11/compare.c"), "-o", "compare", "-ldl", "-I/usr/include/p11-kit-1")
    OURS = ours()  # once: a wrong PIN is tried, and the TPM counts


def tearDownModule():
    LAB.close()


def answers(*arguments):
    done = LAB.must("./compare", *arguments)
    return dict(line.split("\t") for line in done.out.decode().splitlines())


def ours():
    found = {}
    for kind, token in TOKENS.items():
        found.update(answers(MODULE, token, PIN, kind))
    return found


def documented():
    """The rows of the table: call -> (ours, SoftHSM's, OpenSC's)."""
    with open(os.path.join(harness.ROOT, "docs/pkcs11.md"), encoding="utf-8") as f:
        section = f.read().split("## Beside SoftHSM and OpenSC\n")[1].split("\n## ")[0]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    return {row[0]: tuple(row[1:4]) for row in rows[2:]}


class Compare(unittest.TestCase):
    maxDiff = None

    def test_ours(self):
        """What the table says of ours holds, whatever else is installed."""
        found = OURS
        self.assertEqual({call: row[0] for call, row in documented().items()}, {call: found.get(call) for call in documented()})

    def differences(self, theirs, column):
        found = OURS
        wanted = {call: row[column] for call, row in documented().items() if row[column]}
        self.assertEqual(wanted, {call: said for call, said in theirs.items() if call != "library" and found[call] != said})

    @needs(SOFTHSM, "softhsm2-util", "pkcs11-tool")
    def test_softhsm(self):
        os.mkdir(LAB.path("soft"))
        LAB.env["SOFTHSM2_CONF"] = LAB.path("softhsm.conf")
        LAB.write("softhsm.conf", "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n" % LAB.path("soft"))
        LAB.must("softhsm2-util", "--init-token", "--free", "--label", "soft", "--so-pin", PIN, "--pin", PIN)
        for kind in ("EC:prime256v1", "rsa:2048"):
            LAB.must("pkcs11-tool", "--module", SOFTHSM, "--token-label", "soft", "--login", "--pin", PIN, "--keypairgen", "--key-type", kind)
        theirs = answers(SOFTHSM, "soft", PIN, "rsa")
        if LAB.run("./compare", SOFTHSM, "soft", PIN, "ec").code == -signal.SIGSEGV:
            self.skipTest("SoftHSM dies in C_Sign with an EC key (as with libcrypto 3.6.5: it looks at no signature's numbers)")
        theirs.update(answers(SOFTHSM, "soft", PIN, "ec"))
        self.skip_other(theirs, "2.6")
        self.differences(theirs, 1)

    @needs(OPENSC)
    def test_opensc(self):
        theirs = answers(OPENSC)
        self.skip_other(theirs, "0.23")
        self.differences(theirs, 2)

    def skip_other(self, theirs, version):
        if theirs["library"] != version:
            self.skipTest("the table is for version %s, not %s" % (version, theirs["library"]))


if __name__ == "__main__":
    harness.tap_main()
