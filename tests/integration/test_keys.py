"""tests/integration/test_keys.py: `tpmtls key` and `tpmtls policy` as a user runs them: what they write, say, refuse,
and how they end."""

import glob
import json
import os
import select
import shutil
import signal
import subprocess
import termios
import time
import unittest

import harness

LAB = None


def setUpModule():
    global LAB
    LAB = harness.Lab()
    LAB.write("pw", "open sesame\n")
    LAB.write("bad", "open barley\n")


def tearDownModule():
    LAB.close()


class Case(unittest.TestCase):
    def ok(self, *args, **kw):
        result = LAB.tpmtls(*args, **kw)
        self.assertEqual(result.code, 0, "%s: %s" % (" ".join(args), result.err))
        self.assertNotIn("Sanitizer", result.err)
        return result

    def fails(self, code, text, *args, hint="", **kw):
        result = LAB.tpmtls(*args, **kw)
        self.assertEqual(result.code, code, result.err)
        self.assertIn(text, result.err)
        if hint:
            self.assertRegex(result.err, "(?m)^tpmtls: hint: .*" + hint)
        self.assertNotIn("Sanitizer", result.err)

    def csr(self, key, *args, **kw):
        out = key.replace(":", "_") + ".csr"
        self.ok("csr", "--key", key, "--subject", "/CN=x", "-o", out, *args, **kw)
        LAB.must("openssl", "req", "-in", out, "-verify", "-noout")

    def show(self, key, *args):
        return json.loads(self.ok("--json", "key", "show", key, *args).out)


class Handles(Case):
    def test_life_at_a_handle(self):
        self.ok("key", "create", "-o", "h.key", "--persist", "0x81000010")
        self.csr("handle:0x81000010")
        self.fails(1, "something is at 0x81000010", "key", "create", "-o", "h2.key", "--persist", "0x81000010", hint="key list")
        self.assertFalse(os.path.exists(LAB.path("h2.key")))
        self.fails(1, "something is at 0x81000010", "key", "persist", "h.key", "0x81000010")
        listed = [e for e in json.loads(self.ok("--json", "key", "list").out) if e["handle"] == "0x81000010"]
        self.assertEqual(listed[0]["type"], "p256")
        self.assertIn("fixedtpm", listed[0]["attributes"])
        self.assertEqual(listed[0]["name"], self.show("h.key")["tpm_name"])
        self.assertIn(b"0x81000010  p256", self.ok("key", "list").out)
        self.ok("key", "evict", "0x81000010")
        self.fails(4, "no key at 0x81000010", "key", "evict", "0x81000010")
        self.ok("key", "persist", "h.key", "0x81000011")
        self.ok("key", "evict", "handle:0x81000011")

    def test_how_a_handle_is_written(self):
        """As users of other programs write it; and what does not do says how it is written."""
        self.ok("key", "create", "-o", "w.key", "--persist", "0x81000013")
        for form in ("0x81000013", "handle:81000013", "handle:0x81000013"):
            self.csr(form)
            self.ok("key", "show", form)
        self.ok("key", "evict", "0x81000013")
        for form in ("0x81000013", "handle:81000013", "handle:0x81000013"):
            self.fails(4, "there is no key at 0x81000013", "csr", "--key", form, "--subject", "/CN=x", hint="handle:0x81000013")
        self.fails(1, "cannot open 81000013", "csr", "--key", "81000013", "--subject", "/CN=x", hint="write handle:0x81000013")
        for form in ("pkcs11:object=x", "nothing.key"):
            self.fails(1, "cannot open " + form, "csr", "--key", form, "--subject", "/CN=x", hint="handle:0x81000010")
        for form, words in (("handle:0x01800001", "NV index"), ("0x80000001", "0x81000000"), ("0x40000001", "0x81000000")):
            self.fails(2, "is no persistent handle", "csr", "--key", form, "--subject", "/CN=x", hint=words)
        self.fails(2, "is not a TPM handle", "csr", "--key", "handle:0x8100001", "--subject", "/CN=x", hint="eight hexadecimal digits")

    def test_only_at_a_handle(self):
        self.ok("key", "create", "--persist", "0x81000012", "--type", "p384")
        self.csr("handle:0x81000012")
        self.ok("key", "evict", "0x81000012")

    def test_handles_that_are_none(self):
        self.ok("key", "create", "-o", "n.key")
        for handle in ("0x81800000", "0x80000001", "0x40000001"):
            self.fails(2, "not a persistent handle of the owner", "key", "persist", "n.key", handle, hint="0x817fffff")
            self.fails(2, "not a persistent handle of the owner", "key", "evict", handle)
        for handle in ("81000010", "0x8100001", "0x810000100", "0x8100001z", "", "all"):
            self.fails(2, "is not a TPM handle", "key", "evict", handle)


class Passwords(Case):
    def test_where_it_comes_from(self):
        self.ok("key", "create", "-o", "p.key", "--auth-file", "pw")
        self.csr("p.key", "--auth-file", "pw")
        self.csr("p.key", "--auth-file=pw")
        self.ok("--auth-file", "pw", "csr", "--key", "p.key", "--subject", "/CN=x", "-o", "p2.csr")
        os.mkdir(LAB.path("creds"))
        LAB.write("creds/tls", "open sesame")
        self.csr("p.key", "--auth-credential", "tls", env={"CREDENTIALS_DIRECTORY": LAB.path("creds")})
        self.fails(2, "CREDENTIALS_DIRECTORY", "csr", "--key", "p.key", "--subject", "/CN=x", "--auth-credential", "tls")
        self.fails(2, "not the name of a credential", "csr", "--key", "p.key", "--subject", "/CN=x", "--auth-credential",
                   "../pw", env={"CREDENTIALS_DIRECTORY": LAB.path("creds")})
        LAB.write("creds/tpmtls.auth", "open sesame")
        self.csr("p.key", env={"CREDENTIALS_DIRECTORY": LAB.path("creds")})
        reader, writer = os.pipe()
        os.write(writer, b"open sesame\n")
        os.close(writer)
        done = subprocess.run([harness.PROGRAM, "csr", "--key", "p.key", "--subject", "/CN=x", "--auth-fd", str(reader)],
                              cwd=LAB.dir, env=LAB.env, pass_fds=[reader], capture_output=True, timeout=60, check=False)
        os.close(reader)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.fails(4, "needs a password", "csr", "--key", "p.key", "--subject", "/CN=x", hint="--auth-file")
        self.fails(4, "password is wrong", "csr", "--key", "p.key", "--subject", "/CN=x", "--auth-file", "bad")
        self.fails(1, "cannot open the password file", "csr", "--key", "p.key", "--subject", "/CN=x", "--auth-file", "none")
        self.fails(2, "needs an argument", "csr", "--key", "p.key", "--subject", "/CN=x", "--auth-file")
        self.fails(1, "no terminal", "key", "create", "-o", "t.key", "--auth-ask")

    def test_lockout_is_a_choice(self):
        self.ok("key", "create", "-o", "count.key", "--auth-file", "pw")
        self.assertNotIn("noda", self.show("count.key")["attributes"])
        self.ok("key", "create", "-o", "free.key", "--auth-file", "pw", "--no-lockout")
        self.assertIn("noda", self.show("free.key")["attributes"])
        self.csr("free.key", "--auth-file", "pw")

    def test_mutual_tls_with_a_password(self):
        LAB.make_identities()
        self.ok("key", "create", "-o", "locked.key", "--auth-file", "pw", "--no-lockout", "--pcr", "sha256:7")
        self.ok("csr", "--key", "locked.key", "--subject", "/CN=locked", "-o", "locked.csr", "--auth-file", "pw")
        self.ok("ca", "sign", "--dir", "ca", "locked.csr", "--profile", "client", "-o", "locked.pem")
        with LAB.serve("--client-ca", "ca/ca.pem", "--require-client-cert", "--echo") as server:
            result = self.ok("connect", "localhost:%s" % server.port, "--ca", "ca/ca.pem", "--key", "locked.key", "--cert",
                             "locked.pem", "--auth-file", "pw", stdin=b"hello\n")
            self.assertEqual(result.out, b"hello\n")


def at_terminal(answers, *args):
    """The program with a terminal of its own, which answers each question, with words or a signal: wait status, text, echo
    in the end."""
    fd, tty = os.openpty()  # ours stays open when the program is gone
    pid = os.fork()
    if pid == 0:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # a shell starts what is in its background without some
        os.login_tty(tty)
        os.chdir(LAB.dir)
        os.execve(harness.PROGRAM, [harness.PROGRAM, *args], LAB.env)
    text, asked, status = b"", 0, None
    os.set_blocking(fd, False)
    limit = time.monotonic() + harness.TIMEOUT
    while status is None:
        if time.monotonic() > limit:
            os.kill(pid, signal.SIGKILL)
        done, code = os.waitpid(pid, os.WNOHANG)
        status = code if done else None
        try:
            text += os.read(fd, 4096)
        except BlockingIOError:
            signal.sigtimedwait([], 0.02)
        if asked < len(answers) and text.count(b"password of") > asked:
            if isinstance(answers[asked], bytes):
                os.write(fd, answers[asked])
            else:
                os.kill(pid, answers[asked])
            asked += 1
    echo = termios.tcgetattr(tty)[3] & termios.ECHO
    os.close(tty)
    os.close(fd)
    return status, text.decode(), bool(echo)


class Terminal(Case):
    def test_asked_twice_for_a_new_one(self):
        status, text, echo = at_terminal([b"open sesame\n"] * 2, "key", "create", "-o", "tty.key", "--auth-ask", "--no-lockout")
        self.assertEqual((status, echo), (0, True), text)
        self.assertNotIn("sesame", text)
        self.csr("tty.key", "--auth-file", "pw")
        status, text, _ = at_terminal([b"open sesame\n"], "csr", "--key", "tty.key", "--subject", "/CN=x", "-o", "tty.csr")
        self.assertEqual(status, 0, text)
        status, text, _ = at_terminal([b"a\n", b"b\n"], "key", "create", "-o", "tty2.key", "--auth-ask")
        self.assertEqual(os.waitstatus_to_exitcode(status), 2)
        self.assertIn("not the same", text)

    def test_interrupted(self):
        for typed, number in ((b"half\x03", signal.SIGINT), (b"half\x1c", signal.SIGQUIT), (b"", signal.SIGTERM),
                              (b"", signal.SIGHUP)):
            status, text, echo = at_terminal([typed or number], "key", "create", "-o", "tty3.key", "--auth-ask")
            self.assertEqual(os.waitstatus_to_exitcode(status), -number, text)
            self.assertTrue(echo, number)
            self.assertFalse(os.path.exists(LAB.path("tty3.key")))

    def test_stop_asks_again(self):
        status, text, echo = at_terminal([signal.SIGTSTP, b"open sesame\n", b"open sesame\n"], "key", "create", "-o",
                                         "tty5.key", "--auth-ask", "--no-lockout")
        self.assertEqual((status, echo), (0, True), text)
        self.csr("tty5.key", "--auth-file", "pw")

    def test_stopped_in_a_shell(self):
        """Ctrl-Z: while it is stopped the shell has its echo; `fg`, and the question comes again, without."""
        fd, tty = os.openpty()
        told, tell = os.pipe()
        shell = os.fork()
        if shell == 0:
            os.login_tty(tty)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            job = os.fork()
            if job == 0:
                os.setpgid(0, 0)
                os.tcsetpgrp(0, os.getpid())
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                os.chdir(LAB.dir)
                os.execve(harness.PROGRAM, [harness.PROGRAM, "key", "create", "-o", "tty6.key", "--auth-ask", "--no-lockout"], LAB.env)
            for _ in range(2):
                _, status = os.waitpid(job, os.WUNTRACED)
                if os.WIFSTOPPED(status):
                    os.write(tell, b"stopped %d\n" % bool(termios.tcgetattr(0)[3] & termios.ECHO))
                    os.tcsetpgrp(0, job)
                    os.kill(job, signal.SIGCONT)
            os.write(tell, b"ended %d\n" % status)
            os._exit(0)
        try:
            self.read_until(fd, b"password of")
            os.write(fd, b"half\x1a")
            self.assertEqual(self.read_until(told, b"\n"), b"stopped 1\n")
            self.read_until(fd, b"password of")
            self.assertFalse(termios.tcgetattr(tty)[3] & termios.ECHO)
            os.write(fd, b"open sesame\n")
            self.read_until(fd, b"password of")
            os.write(fd, b"open sesame\n")
            self.assertEqual(self.read_until(told, b"\n"), b"ended 0\n")
            self.assertTrue(termios.tcgetattr(tty)[3] & termios.ECHO)
        finally:
            os.kill(shell, signal.SIGKILL)
            os.waitpid(shell, 0)
            for one in (fd, tty, told, tell):
                os.close(one)
        self.csr("tty6.key", "--auth-file", "pw")

    def read_until(self, fd, words):
        text, limit = b"", time.monotonic() + harness.TIMEOUT
        while words not in text:
            ready, _, _ = select.select([fd], [], [], max(0, limit - time.monotonic()))
            self.assertTrue(ready, text)
            text += os.read(fd, 1 if words == b"\n" else 4096)
        return text

    def test_empty_is_not_typed(self):
        status, text, _ = at_terminal([b"\n"], "key", "create", "-o", "tty4.key", "--auth-ask")
        self.assertEqual(os.waitstatus_to_exitcode(status), 2, text)
        self.assertIn("is empty", text)

    def test_real_credential(self):
        if not shutil.which("systemd-creds"):
            self.skipTest("systemd-creds is needed")
        if LAB.run("systemd-creds", "encrypt", "--name=key", "pw", "key.cred").code != 0:
            self.skipTest("systemd-creds has no key here to encrypt with")
        os.mkdir(LAB.path("real"))
        LAB.must("systemd-creds", "decrypt", "--name=key", "key.cred", "real/key")
        self.ok("key", "create", "-o", "cred.key", "--auth-credential", "key", "--no-lockout",
                env={"CREDENTIALS_DIRECTORY": LAB.path("real")})
        self.csr("cred.key", "--auth-file", "pw")


class Types(Case):
    def test_handshake_of_each(self):
        """The other end is openssl's."""
        self.ok("ca", "init", "--dir", "types", "--subject", "/CN=Types")
        for kind, said in (("p384", "ecdsa"), ("p521", "ecdsa"), ("rsa3072", "rsa.pss")):
            self.ok("key", "create", "-o", kind + ".key", "--type", kind)
            self.ok("csr", "--key", kind + ".key", "--subject", "/CN=localhost", "--san", "DNS:localhost", "-o", kind + ".csr")
            self.ok("ca", "sign", "--dir", "types", kind + ".csr", "--profile", "server", "-o", kind + ".pem")
            with LAB.serve("--echo", key=kind) as server:
                done = LAB.run("openssl", "s_client", "-connect", "127.0.0.1:" + server.port, "-CAfile", "types/ca.pem",
                               "-servername", "localhost", "-verify_return_error", "-brief")
                self.assertIn("Verification: OK", done.err)
                self.assertRegex(done.err, "(?i)signature type: " + said)

    def test_refused_before_it_is_made(self):
        self.fails(1, "this TPM cannot make a key of type rsa4096; it has p256, p384, p521, rsa2048", "key", "create", "-o",
                   "big.key", "--type", "rsa4096", hint="choose one of these")

    def test_in_process_tpm(self):
        if not glob.glob("/usr/lib/*/libtss2-tcti-libtpms.so*"):
            self.skipTest("the TCTI of libtpms is needed (Debian 13)")
        tpm = ("--tpm", "libtpms:" + LAB.path("in-process"))
        self.ok(*tpm, "key", "create", "-o", "in.key")
        self.ok(*tpm, "csr", "--key", "in.key", "--subject", "/CN=x", "-o", "in.csr")
        LAB.must("openssl", "req", "-in", "in.csr", "-verify", "-noout")
        page = json.loads(self.ok(*tpm, "--json", "doctor", "--quick").out)
        self.assertTrue(page["tls13_possible"] and page["emulated"])


class Sealed(Case):
    def test_there_and_back(self):
        self.ok("key", "seal", "-o", "plain.sealed", stdin=b"some data\x00\xff")
        self.assertEqual(self.ok("key", "unseal", "plain.sealed").out, b"some data\x00\xff")
        LAB.write("word", "a word")
        self.ok("key", "seal", "word", "-o", "word.sealed", "--pcr", "sha256:7", "--auth-file", "pw", "--no-lockout")
        self.ok("key", "unseal", "word.sealed", "-o", "word.again", "--auth-file", "pw")
        self.assertEqual(LAB.read("word.again"), b"a word")
        self.assertEqual(os.stat(LAB.path("word.again")).st_mode & 0o777, 0o600)
        self.assertEqual(self.show("word.sealed")["policy"], ["PCRs sha256:7", "the key's password"])
        self.fails(4, "word.sealed: the key's policy demands its password", "key", "unseal", "word.sealed")
        self.fails(1, "sealed data, not a key", "csr", "--key", "plain.sealed", "--subject", "/CN=x")
        self.fails(2, "at most 128 bytes", "key", "seal", "-o", "x", stdin=b"x" * 129)
        self.fails(2, "nothing to seal", "key", "seal", "-o", "x")
        self.fails(2, "there is no option --persist", "key", "seal", "-o", "x", "--persist", "0x81000010")
        result = LAB.tpmtls("--tpm", "embedded:" + LAB.path("third"), "key", "unseal", "plain.sealed")
        self.assertEqual(result.code, 4)
        self.assertIn("belongs to another TPM", result.err)


class Policies(Case):
    def test_pcrs(self):
        self.ok("key", "create", "-o", "pcr.key", "--pcr", "sha256:0,2,7")
        self.csr("pcr.key")
        shown = self.show("pcr.key")
        self.assertEqual(shown["policy"], ["PCRs sha256:0,2,7"])
        self.assertFalse(shown["password"])
        self.fails(2, "does not name PCRs", "key", "create", "-o", "x.key", "--pcr", "7", hint="sha256:0,2,7")
        self.fails(2, "needs a file", "key", "create", "--persist", "0x81000020", "--pcr", "sha256:7")

    def test_signed_policies(self):
        LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "policy.key")
        LAB.must("openssl", "pkey", "-in", "policy.key", "-pubout", "-out", "policy.pub")
        self.ok("key", "create", "-o", "s.key", "--policy-key", "policy.pub", "--description", "for a gateway")
        self.fails(4, "needs a signed policy", "csr", "--key", "s.key", "--subject", "/CN=x", hint="policy sign")
        self.fails(2, "what does the policy demand", "policy", "sign", "s.key", "--policy-key", "policy.key")
        self.ok("policy", "sign", "s.key", "--policy-key", "policy.key", "--pcr", "sha256:0,7", "--name", "release 1")
        self.csr("s.key")
        shown = self.show("s.key")
        self.assertEqual(shown["description"], "for a gateway")
        self.assertEqual(shown["signed_policies"][0]["name"], "release 1")
        self.assertEqual(shown["signed_policies"][0]["demands"][0], "PCRs sha256:0,7")
        self.ok("key", "create", "-o", "tpm-policy.key")
        self.fails(2, "another key", "policy", "sign", "s.key", "--policy-key", "tpm-policy.key", "--pcr", "sha256:0")

    def test_policy_secret(self):
        self.ok("key", "create", "-o", "owner.key", "--policy-secret", "owner")
        self.csr("owner.key", "--auth-empty")
        self.fails(2, "is not one of", "key", "create", "-o", "x.key", "--policy-secret", "me")


class Import(Case):
    def test_import_and_wrap(self):
        LAB.must("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "soft.key")
        result = self.ok("key", "import", "soft.key", "-o", "imp.key")
        self.assertIn("warning: this key was made outside of the TPM", result.err)
        self.csr("imp.key")
        self.assertIn("made outside", self.show("imp.key")["exportable"])
        self.fails(1, "is already there", "key", "import", "soft.key", "-o", "imp.key")
        self.ok("key", "srk", "-o", "srk.pub")
        self.ok("--tpm", "swtpm:path=/nonexistent", "key", "wrap", "--for", "srk.pub", "soft.key", "-o", "wrapped.key",
                "--auth-file", "pw")  # no TPM is asked
        self.assertEqual(self.show("wrapped.key")["file"], "TSS2 PRIVATE KEY, importable")
        self.csr("wrapped.key", "--auth-file", "pw")
        self.ok("key", "import", "wrapped.key", "-o", "w2.key")
        self.csr("w2.key", "--auth-file", "pw")
        self.fails(2, "final form", "key", "import", "w2.key", "-o", "w3.key")
        self.fails(2, "for which TPM", "key", "wrap", "soft.key", "-o", "w4.key")
        self.fails(1, "not a PEM PUBLIC KEY", "key", "wrap", "--for", "soft.key", "soft.key", "-o", "w4.key")


class Show(Case):
    def test_every_field(self):
        self.ok("key", "create", "-o", "all.key", "--description", "one \u00e9 two")
        shown = self.show("all.key")
        self.assertEqual(shown["file"], "TSS2 PRIVATE KEY, loadable")
        self.assertTrue(shown["tpm_name"].startswith("000b"))
        self.assertTrue(shown["tpm_name_uri"].startswith("ni:///sha-256;"))
        self.assertEqual(shown["loadable_here"], "yes")
        self.assertIn("fixedTPM", shown["exportable"])
        self.assertEqual(shown["schemes"], ["ecdsa_secp256r1_sha256"])
        text = self.ok("key", "show", "all.key").out.decode()
        for label in ("file:", "type:", "description:", "needs password:", "parent:", "parent's name:", "attributes:",
                      "name algorithm:", "TPM name:", "exportable:", "loads here:", "schemes:"):
            self.assertIn(label, text)

    def test_another_tpm_is_shown_nonetheless(self):
        self.ok("key", "create", "-o", "far.key")
        result = LAB.tpmtls("--tpm", "embedded:" + LAB.path("second"), "key", "show", "far.key")
        self.assertEqual(result.code, 4)
        self.assertIn(b"loads here:      no", result.out)

    def test_at_a_handle(self):
        """Whoever has no password may look, too."""
        self.ok("key", "create", "-o", "at.key", "--persist", "0x81000030", "--auth-file", "pw")
        shown = self.show("handle:0x81000030")
        self.assertEqual((shown["type"], shown["handle"]), ("p256", "0x81000030"))
        self.assertEqual(shown["tpm_name"], self.show("at.key")["tpm_name"])
        self.assertIn("fixedtpm", shown["attributes"])
        self.assertIn("fixedTPM", shown["exportable"])
        self.assertIn("not tried unasked", shown["refused"])
        self.ok("key", "evict", "0x81000030")
        self.fails(4, "no key at 0x81000030", "key", "show", "handle:0x81000030")

    def test_help_names_every_command(self):
        text = self.ok("key", "--help").out.decode()
        for command in ("create", "show", "list", "persist", "evict", "import", "wrap", "srk", "seal", "unseal"):
            self.assertIn("\n  %s " % command, text)
        text = self.ok("key", "create", "--help").out.decode()
        for word in ("--pcr", "--policy-key", "--policy-secret", "--auth-file", "--auth-fd", "--auth-credential", "--no-lockout"):
            self.assertIn(word, text)
        self.assertIn("--with-password", self.ok("policy", "sign", "--help").out.decode())


if __name__ == "__main__":
    harness.tap_main()
