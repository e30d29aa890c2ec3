"""tests/integration/test_reload.py: `serve` reads its certificates, keys, CAs and CRLs again: on SIGHUP, and when a file changes.
Connections that are there stay; what cannot be used changes nothing. Keys of openssl's, and of an embedded TPM."""

import os
import pty
import select
import signal
import socket
import ssl
import time
import unittest

import harness

LAB = None
PROGRAM = harness.PROGRAM
SERVER = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n"
CLIENT = "extendedKeyUsage=clientAuth\nkeyUsage=critical,digitalSignature\n"
AGAIN = "certificates, keys, CAs and CRLs were read again"
AS_BEFORE = "certificates, keys, CAs and CRLs stay as they were: "


def new_key(name):
    LAB.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name)


def new_ca(name):
    new_key(name + ".key")
    LAB.must("openssl", "req", "-x509", "-new", "-key", name + ".key", "-subj", "/CN=" + name, "-days", "300", "-addext",
             "keyUsage=critical,keyCertSign,cRLSign", "-out", name + ".pem")
    LAB.write(name + ".cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=%s.db\ndefault_md=sha256\ndefault_crl_days=30\n" % name)
    LAB.write(name + ".db", "")


def issue(out, key, subject, ext=SERVER, ca="ca", days=("-days", "30")):
    """A certificate for a key; replaces the file at once, as certbot and others do."""
    LAB.must(*(["openssl"] if key.endswith("key") else []), "req", "-new", "-key", key, "-subj", subject, "-out", "tmp.csr")
    sign(out, ext, ca, days)


def sign(out, ext=SERVER, ca="ca", days=("-days", "30")):
    LAB.write("tmp.ext", ext + "authorityKeyIdentifier=keyid\n")
    LAB.must("openssl", "x509", "-req", "-in", "tmp.csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial", *days,
             "-extfile", "tmp.ext", "-out", "tmp.pem")
    os.rename(LAB.path("tmp.pem"), LAB.path(out))


def crl(out, ca="ca"):
    LAB.must("openssl", "ca", "-config", ca + ".cnf", "-gencrl", "-cert", ca + ".pem", "-keyfile", ca + ".key", "-out", "tmp.crl")
    os.rename(LAB.path("tmp.crl"), LAB.path(out))


def setUpModule():
    global LAB
    LAB = harness.Lab()
    new_ca("ca")
    new_ca("second")


def tearDownModule():
    LAB.close()


class Case(unittest.TestCase):
    def setUp(self):
        new_key("server.key")
        issue("server.pem", "server.key", "/CN=first")

    def serve(self, *args, **kw):
        server = LAB.serve(*args, key="server", **kw)
        self.addCleanup(server.__exit__)
        return server

    def connect(self, server, *args, ca="ca.pem", stdin=b"hello\n"):
        return LAB.tpmtls("connect", "127.0.0.1:" + server.port, "--ca", ca, *args, stdin=stdin)

    def who(self, server):
        """The CN of the certificate that a new connection sees."""
        return self.client(server).getpeercert()["subject"][-1][0][1]

    def client(self, server):
        context = ssl.create_default_context(cafile=LAB.path("ca.pem"))
        peer = context.wrap_socket(socket.create_connection(("127.0.0.1", int(server.port)), 30), server_hostname="localhost")
        self.addCleanup(peer.close)
        return peer

    def hang_up(self, server, expect=AGAIN):
        """SIGHUP, and what is said about it."""
        with server.lock:
            server.text = b""
        server.process.send_signal(signal.SIGHUP)
        return server.wait_for(expect)

    def again(self, server, expect=AGAIN):
        """The same without being told: it looks at the files."""
        found = server.wait_for(expect, 30)
        with server.lock:
            server.text = b""
        return found


class Certificates(Case):
    def test_signal(self):
        server = self.serve()
        old = self.client(server)
        issue("server.pem", "server.key", "/CN=second")
        self.hang_up(server)
        self.assertEqual(self.who(server), "second")
        old.sendall(b"still")  # a connection of before is not dropped
        self.assertEqual(old.recv(5), b"still")
        self.assertEqual(old.getpeercert()["subject"][-1][0][1], "first")

    def test_nothing_has_changed(self):
        """Control: it is read again all the same, and is as it was."""
        server = self.serve()
        self.hang_up(server)
        self.assertEqual(self.who(server), "first")

    def test_a_file_changes(self):
        server = self.serve()
        issue("server.pem", "server.key", "/CN=second")
        self.again(server)
        self.assertEqual(self.who(server), "second")

    def test_a_new_pair_one_after_the_other(self):
        """In between they do not belong together: that changes nothing."""
        server = self.serve()
        new_key("new.key")
        issue("new.pem", "new.key", "/CN=second")
        os.rename(LAB.path("new.pem"), LAB.path("server.pem"))
        self.again(server, AS_BEFORE + "the certificate in server.pem does not belong to the key server.key")
        self.assertEqual(self.who(server), "first")
        os.rename(LAB.path("new.key"), LAB.path("server.key"))
        self.again(server)
        self.assertEqual(self.who(server), "second")

    def test_what_cannot_be_used(self):
        server = self.serve()
        good = LAB.read("server.pem")
        for bad, said in ((b"", "server.pem"), (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "server.pem"),
                          (None, "cannot open server.pem")):
            if bad is None:
                os.unlink(LAB.path("server.pem"))
            else:
                LAB.write("server.pem", bad)
            self.hang_up(server, AS_BEFORE + "[^\n]*" + said)
            self.assertEqual(self.who(server), "first")
        LAB.write("server.pem", good)
        self.hang_up(server)

    def test_many_times_with_connections(self):
        """Each connection keeps what it began with, until it ends."""
        server = self.serve()
        held = []
        for n in range(8):
            new_key("server.key")
            issue("server.pem", "server.key", "/CN=number %d" % n)
            self.hang_up(server)
            held.append(self.client(server))
        for n, peer in enumerate(held):
            peer.sendall(b"x")
            self.assertEqual(peer.recv(1), b"x")
            self.assertEqual(peer.getpeercert()["subject"][-1][0][1], "number %d" % n)
        self.assertEqual(server.stop().code, 0)

    def test_json(self):
        server = self.serve(options=("--json",))
        self.hang_up(server, '"event":"reloaded"')
        LAB.write("server.pem", "")
        self.hang_up(server, '"event":"reloaded"')
        events = server.stop().events("reloaded")
        self.assertIn("server.pem", events[-1]["error"])

    def test_resumption(self):
        """A ticket of before counts: who we are has not changed."""
        server = self.serve()
        args = ("-connect", "127.0.0.1:" + server.port, "-CAfile", LAB.path("ca.pem"))
        LAB.run("bash", "-c", '(sleep 0.5; echo Q) | openssl s_client "$@" -sess_out sess', "bash", *args)
        issue("server.pem", "server.key", "/CN=second")
        self.hang_up(server)
        done = LAB.run("bash", "-c", '(sleep 0.3; echo Q) | openssl s_client "$@" -sess_in sess', "bash", *args)
        self.assertIn(b"\nReused", done.out)


class Trust(Case):
    ASKING = ("--client-ca", "cas.pem", "--require-client-cert")

    def setUp(self):
        super().setUp()
        new_key("client.key")
        issue("client.pem", "client.key", "/CN=client", CLIENT)
        LAB.write("cas.pem", LAB.read("second.pem"))

    def comes_in(self, server):
        result = self.connect(server, "--key", "client.key", "--cert", "client.pem")
        return result.out == b"hello\n"

    def test_ca(self):
        server = self.serve(*self.ASKING)
        self.assertFalse(self.comes_in(server))
        LAB.write("cas.pem", LAB.read("second.pem") + LAB.read("ca.pem"))
        self.again(server)
        self.assertTrue(self.comes_in(server))
        LAB.write("cas.pem", LAB.read("second.pem"))
        self.hang_up(server)
        self.assertFalse(self.comes_in(server))

    def test_ca_directory(self):
        os.makedirs(LAB.path("cas"), exist_ok=True)
        LAB.write("cas/a.pem", LAB.read("second.pem"))
        server = self.serve("--client-ca", "cas", "--require-client-cert")
        self.assertFalse(self.comes_in(server))
        LAB.write("cas/b.pem", LAB.read("ca.pem"))
        self.again(server)
        self.assertTrue(self.comes_in(server))
        for name in ("cas/a.pem", "cas/b.pem"):
            os.unlink(LAB.path(name))
        self.again(server, "there is no certificate in the directory cas: nobody is believed for it any more\n(.|\n)*" + AGAIN)
        self.assertFalse(self.comes_in(server))
        self.assertEqual(LAB.tpmtls("serve", "127.0.0.1:0", "--key", "server.key", "--cert", "server.pem", "--client-ca", "cas").code, 1)
        LAB.write("cas/a.pem", LAB.read("ca.pem"))
        self.again(server)
        self.assertTrue(self.comes_in(server))
        LAB.write("cas/a.pem", LAB.read("second.pem"))
        os.chmod(LAB.path("cas"), 0o777)
        self.hang_up(server, AS_BEFORE + "others than its owner may write cas")
        os.chmod(LAB.path("cas"), 0o755)
        self.hang_up(server)
        self.assertFalse(self.comes_in(server))

    def test_a_file_that_is_gone(self):
        """And the pins that narrowed what its CA allowed do not take its place."""
        LAB.write("cas.pem", LAB.read("ca.pem"))
        LAB.must("bash", "-c", "openssl pkey -in client.key -pubout -outform DER | sha256sum | cut -c1-64 >pin")
        server = self.serve(*self.ASKING, "--pin", "sha256:" + LAB.read("pin").decode().strip())
        self.assertTrue(self.comes_in(server))
        os.unlink(LAB.path("cas.pem"))
        self.hang_up(server, "cannot open cas.pem: No such file or directory: nobody is believed for it any more\n(.|\n)*" + AGAIN)
        self.assertFalse(self.comes_in(server))

    def test_crl(self):
        LAB.write("cas.pem", LAB.read("ca.pem"))
        crl("ca.crl")
        server = self.serve(*self.ASKING, "--crl", "ca.crl")
        self.assertTrue(self.comes_in(server))
        LAB.must("openssl", "ca", "-config", "ca.cnf", "-revoke", "client.pem", "-cert", "ca.pem", "-keyfile", "ca.key")
        crl("ca.crl")
        self.again(server)
        self.assertFalse(self.comes_in(server))


class Tpm(Case):
    """The key is opened again where the TPM is owned; its connections go on."""

    def tpm_key(self, subject, out="server", handle=None):
        LAB.must(PROGRAM, "key", "create", "-o", "tmp.tkey", *(("--handle", handle) if handle else ()))
        key = handle or "tmp.tkey"
        LAB.must(PROGRAM, "csr", "--key", key, "--subject", subject, "--san", "DNS:localhost", "--san", "IP:127.0.0.1", "-o", "tmp.csr")
        sign(out + ".pem")
        os.rename(LAB.path("tmp.tkey"), LAB.path(out + ".key"))

    def test_a_new_key(self):
        self.tpm_key("/CN=first")
        server = self.serve()
        old = self.client(server)
        for name in ("second", "third", "fourth"):
            self.tpm_key("/CN=" + name)
            self.hang_up(server)
            self.assertEqual(self.who(server), name)
        old.sendall(b"x")
        self.assertEqual(old.recv(1), b"x")
        self.assertEqual(server.stop().code, 0)

    def test_a_renewed_certificate_costs_no_command(self):
        """The key stays open: nothing is loaded but for signatures."""
        self.tpm_key("/CN=first")
        server = self.serve("--trace", options=("--json",))
        self.who(server)
        LAB.must(PROGRAM, "csr", "--key", "server.key", "--subject", "/CN=second", "--san", "DNS:localhost", "-o", "tmp.csr")
        sign("server.pem")
        self.hang_up(server, '"event":"reloaded","error":null')
        self.assertEqual(self.who(server), "second")
        commands = {event["command"] for event in server.stop().events("tpm")}
        self.assertEqual(commands, {"TPM2_Sign"})

    def test_from_software_to_the_tpm(self):
        server = self.serve()
        self.tpm_key("/CN=second")
        self.hang_up(server, AS_BEFORE + "the new key server.key is in a TPM, and this process was started without one")
        self.assertEqual(self.who(server), "first")

    def test_a_password_is_asked_of_nobody(self):
        server = self.serve()
        LAB.must("openssl", "pkcs8", "-topk8", "-in", "server.key", "-passout", "pass:S3cret", "-out", "tmp.key")
        os.rename(LAB.path("tmp.key"), LAB.path("server.key"))
        self.hang_up(server, AS_BEFORE + "[^\n]*server.key needs a password, and nobody is asked while the server runs")
        self.assertEqual(self.who(server), "first")

    def test_delegation(self):
        """--delegate: the new certificate's credential takes over."""
        ext = SERVER + "1.3.6.1.4.1.44363.44=ASN1:NULL\n"
        issue("server.pem", "server.key", "/CN=first", ext)
        server = self.serve("--delegate", options=("-v",))
        server.wait_for("delegated to a software key")
        new_key("server.key")
        issue("server.pem", "server.key", "/CN=second", ext)
        self.hang_up(server, AGAIN + "(.|\n)*delegated to a software key")
        self.assertEqual(self.connect(server).out, b"hello\n")
        self.assertEqual(self.who(server), "second")


class Pipes(Case):
    def test_what_cannot_be_read_twice(self):
        """Nothing waits for a pipe that nobody writes to any more."""
        os.mkfifo(LAB.path("pipe"))
        feeder = LAB.background("sh", "-c", "cat server.pem >pipe")
        server = LAB.background(PROGRAM, "serve", "127.0.0.1:0", "--key", "server.key", "--cert", "pipe")
        self.addCleanup(server.__exit__)
        server.port = server.wait_for(r"listening on [^\s]*:(\d+)").group(1)
        feeder.finish()
        self.hang_up(server, AS_BEFORE + "pipe is no file that can be read again")
        self.assertEqual(self.who(server), "first")


class Ends(Case):
    """A certificate of ours that has ended, or ends soon, is said at the start and after."""

    def days(self, start, end):
        at = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400)) for days in (start, end)]
        LAB.write("dated.txt", "")
        LAB.write("dated.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=dated.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\n"
                  "policy=p\nunique_subject=no\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\n" + SERVER)
        LAB.must("openssl", "req", "-new", "-key", "server.key", "-subj", "/CN=dated", "-out", "tmp.csr")
        LAB.must("openssl", "ca", "-batch", "-notext", "-config", "dated.cnf", "-cert", "ca.pem", "-keyfile", "ca.key",
                 "-startdate", at[0], "-enddate", at[1], "-in", "tmp.csr", "-out", "tmp.pem")
        os.rename(LAB.path("tmp.pem"), LAB.path("server.pem"))

    SAID = ((-30, -1, "server.pem expired on 20"), (-30, 6.5, r"server.pem ends on 20[^\n]*, in less than 7 days: it should be renewed"),
            (-30, 0.5, "in less than 1 day:"), (1, 30, "server.pem is not valid before 20"))

    def test_at_the_start(self):
        for start, end, said in self.SAID:
            self.days(start, end)
            self.serve().wait_for(said)
        self.days(-30, 7.5)
        self.assertNotIn("server.pem", self.serve().text.decode())

    def test_when_read_again(self):
        server = self.serve()
        for start, end, said in self.SAID:
            self.days(start, end)
            self.hang_up(server, AGAIN + "(.|\n)*" + said)
        issue("server.pem", "server.key", "/CN=renewed")
        self.hang_up(server)
        self.assertEqual(self.who(server), "renewed")
        self.assertNotIn("server.pem", server.text.decode())

    def test_while_it_runs(self):
        """The hour comes: it is said again, without being asked."""
        self.days(-30, 10 / 86400)
        server = self.serve()
        server.wait_for("in less than 1 day")
        server.wait_for("server.pem expired on 20", 60)

    def test_of_a_client(self):
        server = self.serve()
        self.days(-30, -1)
        result = self.connect(server, "--key", "server.key", "--cert", "server.pem")
        self.assertIn("server.pem expired on 20", result.err)

    def test_of_the_chain(self):
        """An intermediate certificate ends before the leaf."""
        leaf = LAB.read("server.pem")
        self.days(-30, 2)
        LAB.write("server.pem", leaf + LAB.read("server.pem"))
        self.serve().wait_for("certificate number 2 in server.pem ends on")


class Terminal(Case):
    def test_a_terminal_that_is_closed(self):
        """A server in a window ends with the window; one without a terminal (all others here) does not end by SIGHUP."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(LAB.dir)
            os.execve(PROGRAM, [PROGRAM, "serve", "127.0.0.1:0", "--key", "server.key", "--cert", "server.pem"], LAB.env)
        text = b""
        while b"listening" not in text:
            self.assertTrue(select.select([fd], [], [], 30)[0], text)
            text += os.read(fd, 1000)
        os.kill(pid, signal.SIGHUP)  # the terminal is there
        while AGAIN.encode() not in text:
            self.assertTrue(select.select([fd], [], [], 30)[0], text)
            text += os.read(fd, 1000)
        os.close(fd)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


if __name__ == "__main__":
    harness.tap_main()
