"""tests/integration/test_secrets.py: passwords as bytes, from every way in; which may be tried; what a power cut counts."""

import base64
import json
import os
import signal
import socket
import time
import unittest

import harness
from swtpm import Swtpm

LAB = None
CHIP = None


def setUpModule():
    global LAB, CHIP
    LAB = harness.Lab()
    CHIP = Swtpm(LAB.path("chip"))
    LAB.env["TPMTLS_TPM"] = CHIP.tcti
    os.mkdir(LAB.path("credentials"))
    LAB.env["CREDENTIALS_DIRECTORY"] = LAB.path("credentials")


def tearDownModule():
    CHIP.stop()
    LAB.close()


def tlv(tag, content):
    n = len(content)
    return bytes([tag]) + (bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else bytes([0x82, n >> 8, n & 255])) + content


class Case(unittest.TestCase):
    def ends(self, code, *args, says="", **kw):
        result = LAB.tpmtls(*args, **kw)
        self.assertEqual(result.code, code, "%s: %s" % (" ".join(args), result.err))
        self.assertIn(says, result.err)
        self.assertNotIn("Sanitizer", result.err)
        return result

    def csr(self, key, *auth, code=0, says=""):
        return self.ends(code, "csr", "--key", key, "--subject", "/CN=x", "-o", "x.csr", *auth, says=says)

    def ways(self, name):
        """Each way by which a password that is kept comes in."""
        os.replace(LAB.path(name), LAB.path("credentials/pw"))
        return (("--auth-file", LAB.path("credentials/pw")), ("--auth-credential", "pw"))


class Bytes(Case):
    def test_empty_is_not_none(self):
        for content in (b"", b"\n", b"\r\n", b"\nreal-secret\n"):
            LAB.write("pw", content)
            for auth in self.ways("pw"):
                self.ends(2, "key", "create", "-o", "none.key", *auth, says="is empty")
                self.ends(2, "key", "seal", "-o", "none.sealed", *auth, stdin=b"secret", says="is empty")
                self.assertEqual([n for n in os.listdir(LAB.dir) if n.startswith("none.")], [])
        self.ends(0, "key", "create", "-o", "empty.key", "--auth-empty")
        self.csr("empty.key")

    def test_zero_bytes_belong_to_it(self):
        for i, secret in enumerate((b"\0abcdefghijk", b"a\0bcdefghijklmnop", bytes(range(1, 10)) + bytes(range(11, 34)))):
            LAB.write("pw%d" % i, secret)
            name, auth = "zero%d" % i, ("--auth-file", "pw%d" % i)
            self.ends(0, "key", "create", "-o", name + ".key", "--no-lockout", *auth)
            self.csr(name + ".key", *auth)
            LAB.write("short", secret.split(b"\0")[0][:1] or b"x")
            self.csr(name + ".key", "--auth-file", "short", code=4, says="password")
            self.csr(name + ".key", "--auth-empty", code=4, says="password")
            self.ends(0, "key", "seal", "-o", name + ".sealed", "--no-lockout", *auth, stdin=b"the data")
            self.assertEqual(self.ends(0, "key", "unseal", name + ".sealed", *auth).out, b"the data")
            self.ends(4, "key", "unseal", name + ".sealed", "--auth-file", "short")

    def test_what_would_be_cut_is_refused(self):
        for content, says in ((b"x" * 1025, "longer than 1024"), (b"\x01\x02\n\x03", "line's end"), (b"ab\ncd\xff\0", "line's end"),
                              (b"abcdef\0\0", "zero byte"), (b"\0", "zero byte"), (b"x" * 33, "at most 32")):
            LAB.write("cut", content)
            self.ends(2, "key", "create", "-o", "cut.key", "--auth-file", "cut", says=says)
        LAB.write("notes", b"open sesame\r\nand some words\n")
        LAB.write("pw", b"open sesame")
        self.ends(0, "key", "create", "-o", "crlf.key", "--no-lockout", "--auth-file", "notes")
        self.csr("crlf.key", "--auth-file", "pw")

    def test_one_source(self):
        LAB.write("pw", b"open sesame")
        for second in (("--auth-empty",), ("--auth-file", "pw")):
            self.ends(2, "key", "create", "-o", "two.key", "--auth-file", "pw", *second, says="one option --auth-")

    def test_software_keys_import_and_wrap(self):
        LAB.must("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "soft.key")
        LAB.write("long", b"p" * 1000)
        LAB.write("other", b"p" * 999)
        LAB.must("openssl", "pkcs8", "-topk8", "-in", "soft.key", "-passout", "file:long", "-out", "locked.key")
        self.ends(0, "--key-password-file", "long", "csr", "--key", "locked.key", "--subject", "/CN=x", "-o", "x.csr")
        self.ends(1, "--key-password-file", "other", "csr", "--key", "locked.key", "--subject", "/CN=x", "-o", "x.csr")
        LAB.write("nothing", b"\n")
        self.ends(2, "--key-password-file", "nothing", "csr", "--key", "locked.key", "--subject", "/CN=x", says="is empty")
        LAB.write("pw", b"\0import me")
        LAB.write("a", b"i")
        self.ends(2, "key", "import", "soft.key", "-o", "i.key", "--auth-file", "nothing", says="is empty")
        self.ends(0, "key", "import", "soft.key", "-o", "i.key", "--auth-file", "pw", "--no-lockout")
        self.csr("i.key", "--auth-file", "pw")
        self.csr("i.key", "--auth-file", "a", code=4)
        self.ends(0, "key", "srk", "-o", "srk.pub")
        self.ends(0, "key", "wrap", "--for", "srk.pub", "soft.key", "-o", "w.key", "--auth-file", "pw", "--no-lockout")
        self.csr("w.key", "--auth-file", "pw")
        self.csr("w.key", "--auth-file", "a", code=4)

    def test_commands_without_a_password_say_so(self):
        LAB.write("pw", b"open sesame")
        self.ends(2, "psk", "import", "--identity", "me", "-o", "psk", "--auth-file", "pw", stdin=b"00" * 32, says="--auth-")
        self.ends(2, "ticket-key", "--in-tpm", "-o", "root", "--auth-file", "pw", says="--auth-")


class Guard(Case):
    """A file says that there is no password, and is wrong; wrong ones count."""

    def lying(self, name, kind, public, private):
        der = tlv(0x30, tlv(6, bytes([0x67, 0x81, 5, 10, 1, kind])) + tlv(0xa0, tlv(1, b"\xff")) + tlv(2, b"\x40\0\0\1") +
                  tlv(4, public) + tlv(4, private))
        LAB.write(name, b"-----BEGIN TSS2 PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END TSS2 PRIVATE KEY-----\n")

    def made(self, *how):
        CHIP.tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc256:aes128cfb", "-a",
                   "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt", "-c", "srk.ctx")
        CHIP.tools("tpm2_create", "-Q", "-C", "srk.ctx", "-u", "pub", "-r", "priv", "-p", "hunter2", *how)
        CHIP.tools("tpm2_flushcontext", "-t")
        return LAB.read("chip/pub"), LAB.read("chip/priv")

    def once(self, *command):
        CHIP.tools("tpm2_dictionarylockout", "-c")
        for _ in range(4):
            self.assertNotEqual(LAB.tpmtls(*command).code, 0)
        self.assertEqual(CHIP.wrong_passwords(), 1, " ".join(command))

    def test_once_for_every_kind(self):
        LAB.write("chip/data", b"top secret")
        self.lying("lying.sealed", 5, *self.made("-i", "data", "-a", "fixedtpm|fixedparent|userwithauth"))
        self.once("key", "unseal", "lying.sealed")
        self.lying("lying.key", 3, *self.made("-G", "ecc256", "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"))
        self.once("csr", "--key", "lying.key", "--subject", "/CN=x", "-o", "x.csr")
        hmac = self.made("-G", "hmac:sha256", "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign")
        self.lying("lying.root", 3, *hmac)
        LAB.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "s.key",
                 "-subj", "/CN=x", "-out", "s.pem")
        self.once("serve", "127.0.0.1:0", "--key", "s.key", "--cert", "s.pem", "--ticket-key", "lying.root")
        self.ends(0, "psk", "import", "--identity", "me", "--role", "client", "--context", "c", "-o", "lying.psk",
                  stdin=os.urandom(32).hex().encode())
        head = LAB.read("lying.psk").split(b"-----BEGIN TSS2")[0]
        self.lying("half", 3, *hmac)
        LAB.write("lying.psk", head + 2 * LAB.read("half"))
        with socket.create_server(("127.0.0.1", 0)) as server:  # it listens, and answers nothing
            self.once("connect", "127.0.0.1:%d" % server.getsockname()[1], "--psk", "lying.psk", "--handshake-timeout", "2")
        LAB.write("secret", b"hunter2")
        CHIP.tools("tpm2_dictionarylockout", "-c")
        self.assertEqual(self.ends(0, "key", "unseal", "lying.sealed", "--auth-file", "secret").out, b"top secret")


class PowerCuts(Case):
    def used_and_cut(self, key, *auth):
        CHIP.cut_power()  # what other tests used counts here
        CHIP.tools("tpm2_dictionarylockout", "-c")
        for _ in range(3):
            self.csr(key, *auth)
            CHIP.cut_power()
        return CHIP.wrong_passwords()

    def test_machine_passwords_do_not_lock_the_tpm(self):
        LAB.write("machine", b"0123456789abcdef")
        LAB.write("word", b"0123456789abcde")
        made = self.ends(0, "key", "create", "-o", "machine.key", "--auth-file", "machine", says="do not count")
        self.assertIn("power", made.err)
        self.ends(0, "key", "create", "-o", "word.key", "--auth-file", "word", says="wrong passwords count")
        self.ends(0, "key", "create", "-o", "strict.key", "--auth-file", "machine", "--lockout", says="wrong passwords count")
        noda = ["noda" in json.loads(LAB.must(harness.PROGRAM, "--json", "key", "show", k + ".key").out)["attributes"]
                for k in ("machine", "word", "strict")]
        self.assertEqual(noda, [True, False, False])
        self.assertEqual(self.used_and_cut("machine.key", "--auth-file", "machine"), 0)
        self.assertGreater(self.used_and_cut("strict.key", "--auth-file", "machine"), 0)  # the control: it does count

    def embedded(self):
        LAB.write("machine", b"0123456789abcdef")
        tpm = ("--tpm", "embedded:" + LAB.path("own"))
        if not os.path.exists(LAB.path("own.pem")):
            self.ends(0, *tpm, "key", "create", "-o", "own.key", "--lockout", "--auth-file", "machine")
            LAB.must(harness.PROGRAM, *tpm, "csr", "--key", "own.key", "--auth-file", "machine", "--subject", "/CN=localhost",
                     "--san", "DNS:localhost", "-o", "own.csr")
            LAB.must(harness.PROGRAM, "ca", "init", "--dir", "own-ca", "--subject", "/CN=CA")
            LAB.must(harness.PROGRAM, "ca", "sign", "--dir", "own-ca", "own.csr", "--profile", "server", "-o", "own.pem")
        return LAB.serve("--tickets", "0", key="own", options=(*tpm, "--auth-file", "machine"))

    def counted_by_embedded(self):
        return json.loads(LAB.must(harness.PROGRAM, "--json", "--tpm", "embedded:" + LAB.path("own"), "doctor").out)["lockout"]

    def keepers(self):
        """Whoever holds the state directory's lock: the keeper and its swtpm."""
        lock, found = os.path.realpath(LAB.path("own/lock")), []
        for pid in (p for p in os.listdir("/proc") if p.isdigit()):
            try:
                if any(os.readlink("/proc/%s/fd/%s" % (pid, fd)) == lock for fd in os.listdir("/proc/%s/fd" % pid)):
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def test_the_embedded_tpm_is_shut_down(self):
        """When it stops in order, and when its keeper is killed in a pause: nothing is counted."""
        for kill in (False, True, True, True):
            with self.embedded() as server:
                self.assertEqual(LAB.tpmtls("connect", "localhost:" + server.port, "--ca", "own-ca/ca.pem", stdin=b"x").code, 0)
                if kill:
                    time.sleep(0.3)
                    keepers = self.keepers()
                    self.assertGreaterEqual(len(keepers), 2)
                    for pid in keepers:
                        os.kill(pid, signal.SIGKILL)
                    server.stop(signal.SIGKILL)
        self.assertEqual(self.counted_by_embedded()["failures"], 0)


if __name__ == "__main__":
    harness.tap_main()
