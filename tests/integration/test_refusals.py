"""tests/integration/test_refusals.py: what the TPM refuses ends with exit code 4, whatever the command: a wrong password, a policy
that does not hold, a handle where nothing is, a key of another TPM. Each with its control: the same command, allowed, does not."""

import os
import unittest

import harness
from swtpm import Swtpm

LAB = None
CHIP = None
NOBODY = "handle:0x81000077"


def setUpModule():
    global LAB, CHIP
    LAB = harness.Lab()
    CHIP, other = Swtpm(LAB.path("chip")), Swtpm(LAB.path("other"))
    LAB.env["TPMTLS_TPM"] = CHIP.tcti
    LAB.env["XDG_CONFIG_HOME"], LAB.env["XDG_DATA_HOME"] = LAB.path("config"), LAB.path("data-home")
    must = lambda *args, **kw: LAB.must(harness.PROGRAM, *args, **kw)
    LAB.write("right", "the right password of it\n")
    LAB.write("wrong", "not the right password!!\n")
    LAB.write("data", "secret")
    must("key", "create", "-o", "pw.key", "--auth-file", "right")
    must("key", "create", "-o", "pcr.key", "--pcr", "sha256:16")
    must("key", "create", "-o", "at.key", "--persist", "0x81000041", "--auth-file", "right")
    must("key", "seal", "data", "-o", "pw.sealed", "--auth-file", "right")
    must("key", "seal", "data", "-o", "pcr.sealed", "--pcr", "sha256:16")
    must("psk", "import", "--identity", "me", "--role", "client", "--context", "c", "-o", "me.psk", stdin=os.urandom(32).hex().encode())
    must("ticket-key", "--in-tpm", "-o", "root.tk")
    must("ca", "init", "--dir", "tca", "--subject", "/CN=TPM", "--key", "pw.key", "--auth-file", "right")
    must("ca", "init", "--dir", "ca", "--subject", "/CN=CA")
    for name, *auth in (("pw", "--auth-file", "right"), ("pcr",), ("at", "--auth-file", "right")):
        must("csr", "--key", name + ".key", *auth, "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", name + ".csr")
        must("ca", "sign", "--dir", "ca", name + ".csr", "--profile", "both", "-o", name + ".pem")
    CHIP.tools("tpm2_pcrextend", "16:sha256=" + "11" * 32)
    try:
        must("key", "create", "-o", "other.key", env={"TPMTLS_TPM": other.tcti})
        must("psk", "import", "--identity", "me", "--role", "client", "--context", "c", "-o", "other.psk",
             stdin=os.urandom(32).hex().encode(), env={"TPMTLS_TPM": other.tcti})
        must("ticket-key", "--in-tpm", "-o", "other.tk", env={"TPMTLS_TPM": other.tcti})
        must("key", "seal", "data", "-o", "other.sealed", env={"TPMTLS_TPM": other.tcti})
    finally:
        other.stop()
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
    LAB.openssl_request("soft")
    must("ca", "sign", "--dir", "ca", "soft.csr", "--profile", "server", "-o", "soft.pem")


def tearDownModule():
    CHIP.stop()
    LAB.close()


def signs(key, cert, *auth):
    """Every command that signs once with a key."""
    return [("csr", "--key", key, "--subject", "/CN=x", "-o", "-", *auth),
            ("connect", "localhost:{port}", "--ca", "ca/ca.pem", "--key", key, "--cert", cert, *auth),
            ("ca", "init", "--dir", "new-ca", "--subject", "/CN=x", "--key", key, *auth)]


def opens(key, cert, *auth):
    """And every one that opens it to serve: what the TPM refuses only when it is to sign does not end these."""
    return [("serve", "127.0.0.1:0", "--key", key, "--cert", cert, *auth),
            ("proxy", "server", "--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1", "--key", key, "--cert", cert, "--client-ca",
             "ca/ca.pem", "--allow-all", "--sandbox", "off", *auth),  # in it LeakSanitizer cannot look
            ("proxy", "client", "--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1", "--key", key, "--cert", cert, "--ca",
             "ca/ca.pem", "--sandbox", "off", *auth), *signs(key, cert, *auth)]


WRONG = ("--auth-file", "wrong")
REFUSED = [
    *signs("pw.key", "pw.pem", *WRONG), *signs("pcr.key", "pcr.pem"), *signs("handle:0x81000041", "at.pem", *WRONG),
    *opens(NOBODY, "at.pem"), *opens("other.key", "pw.pem"),
    ("key", "unseal", "pw.sealed", *WRONG), ("key", "unseal", "pcr.sealed"), ("key", "unseal", "other.sealed"),
    ("key", "show", NOBODY), ("key", "evict", "0x81000077"), ("key", "persist", "other.key", "0x81000078"),
    ("key", "create", "-o", "x.key", "--parent", "0x81000077"), ("key", "seal", "data", "-o", "x.sealed", "--parent", "0x81000077"),
    ("ca", "sign", "--dir", "tca", "pcr.csr", "--profile", "both", "-o", "x.pem", *WRONG),
    ("connect", "127.0.0.1:{port}", "--psk", "other.psk"),
    ("serve", "127.0.0.1:0", "--key", "pw.key", "--cert", "pw.pem", "--auth-file", "right", "--ticket-key", "other.tk"),
    ("identity", "add", "x", "--key", NOBODY, "--cert", "at.pem"),
    ("key", "show", "other.key"), ("serve", "127.0.0.1:0", "--key", "pw.key", "--cert", "handle:0x01c00099", "--auth-file", "right"),
    ("--srk-name", "000b" + "00" * 32, "key", "create", "-o", "x.key"), ("--tpm", "swtpm:path=/nobody", "key", "list"),
]
ALLOWED = [("connect", "localhost:{port}", "--ca", "ca/ca.pem", "--key", "pw.key", "--cert", "pw.pem", "--auth-file", "right"),
           ("csr", "--key", "pw.key", "--subject", "/CN=x", "-o", "-", "--auth-file", "right"),
           ("csr", "--key", "handle:0x81000041", "--subject", "/CN=x", "-o", "-", "--auth-file", "right"),
           ("key", "unseal", "pw.sealed", "--auth-file", "right"), ("key", "show", "handle:0x81000041"),
           ("ca", "sign", "--dir", "tca", "pcr.csr", "--profile", "both", "-o", "x.pem", "--auth-file", "right")]


class Refusals(unittest.TestCase):
    def test_exit_code(self):
        with self.server() as server:
            self.assertEqual(self.wrong(REFUSED, 4, server.port), [])

    def server(self):
        """One that wants a certificate of its client."""
        return LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert", key="soft")

    def wrong(self, table, code, port=""):
        found = []
        for words in table:
            done = LAB.tpmtls(*[word.replace("{port}", port) for word in words])
            if done.code != code or not done.err.strip():
                found.append((words, done.code, done.err))
        return found

    def test_control(self):
        with self.server() as server:
            self.assertEqual(self.wrong(ALLOWED, 0, server.port), [])


if __name__ == "__main__":
    harness.tap_main()
