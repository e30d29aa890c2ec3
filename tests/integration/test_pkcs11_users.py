"""tests/integration/test_pkcs11_users.py: the PKCS#11 module in OpenSSH, NSS and Java: each does its own job with a P-256 and
an RSA key, with and without a PIN. A program that is not there is skipped, by name."""

import os
import pwd
import re
import unittest

import harness
from tokens import KINDS, MODULE, PIN, TOKENS, TokenLab, needs, pin_of

LAB = None


def setUpModule():
    global LAB
    LAB = TokenLab()


def tearDownModule():
    LAB.close()


@needs("ssh-keygen")
class SSH(unittest.TestCase):
    """sshd is started by the client, on a pipe."""

    @classmethod
    def setUpClass(cls):
        made = os.getuid() == 0 and not os.path.exists("/run/sshd")  # as sshd's unit does
        if made:
            os.mkdir("/run/sshd", 0o755)
            cls.addClassCleanup(os.rmdir, "/run/sshd")
        LAB.write("askpass", "#!/bin/sh\necho %s\n" % PIN)
        os.chmod(LAB.path("askpass"), 0o755)
        cls.env = {"SSH_ASKPASS": LAB.path("askpass"), "SSH_ASKPASS_REQUIRE": "force"}
        cls.keys = {line.split()[-1]: line for line in LAB.must("ssh-keygen", "-D", MODULE, env=cls.env).out.decode().splitlines()}
        LAB.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host")
        LAB.write("sshd.conf", "HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
                  "PasswordAuthentication no\nKbdInteractiveAuthentication no\n" % (LAB.path("host"), LAB.path("authorized")))

    def ssh(self, token, *how, env=None):
        """Logged in with this token's key, and with no other."""
        LAB.write("authorized", self.keys[token] + "\n")
        done = LAB.run("ssh", "-F", "none", *how, "-o", "ProxyCommand=/usr/sbin/sshd -i -f %s" % LAB.path("sshd.conf"), "-o",
                       "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "PreferredAuthentications=publickey", "-o",
                       "IdentityFile=none", pwd.getpwuid(os.getuid()).pw_name + "@localhost", "echo logged in", env=dict(self.env, **(env or {})))
        self.assertEqual((done.code, done.out), (0, b"logged in\n"), done.err)

    def test_ssh_keygen_lists(self):
        self.assertEqual(sorted(self.keys), sorted(TOKENS))

    @needs("ssh", "/usr/sbin/sshd")
    def test_ssh(self):
        for token in TOKENS:
            self.ssh(token, "-I", MODULE)

    @needs("ssh", "ssh-agent", "/usr/sbin/sshd")
    def test_agent(self):
        with LAB.background("ssh-agent", "-D", "-P", MODULE, "-a", LAB.path("agent")) as agent:
            agent.wait_for("SSH_AUTH_SOCK")
            env = {"SSH_AUTH_SOCK": LAB.path("agent")}
            LAB.must("ssh-add", "-s", MODULE, env=dict(self.env, **env))
            for token in TOKENS:
                self.ssh(token, env=env)


@needs("modutil", "certutil")
class NSS(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        LAB.nss("nss")

    def test_modutil(self):
        listed = LAB.must("modutil", "-dbdir", "sql:nss", "-list", "tpmtls").out.decode()
        self.assertEqual(sorted(re.findall(r"Token Name: (\S+)", listed)), sorted(TOKENS))

    @needs("tstclnt", "nginx")
    def test_tstclnt(self):
        """The request in a file: with a pipe that ends it does not end."""
        LAB.write("request", "GET / HTTP/1.0\r\n\r\n")
        LAB.write("pins", "".join("%s:%s\n" % (token, PIN) for token in TOKENS))
        with LAB.nginx() as server:
            for token in TOKENS:
                done = LAB.must("tstclnt", "-4", "-h", "127.0.0.1", "-p", server.port, "-a", "localhost", "-d", "sql:nss", "-n",
                                "%s:%s" % (token, token), "-W", "pins", "-V", "tls1.3:tls1.3", "-A", "request")
                self.assertIn(b"you are CN=%s,O=Example" % token.encode(), done.out)


class Java(unittest.TestCase):
    def configure(self, token):
        LAB.write("java.cfg", "name = tpmtls\nlibrary = %s\nslotListIndex = %s\n" % (MODULE, LAB.place(token)))

    @needs("keytool")
    def test_keytool(self):
        for token in KINDS + ("pin-p256",):
            self.configure(token)
            done = LAB.must("keytool", "-list", "-storetype", "PKCS11", "-keystore", "NONE", "-providerClass",
                            "sun.security.pkcs11.SunPKCS11", "-providerArg", "java.cfg", "-storepass", PIN)
            self.assertRegex(done.out.decode(), r"(?s)1 entry.*%s, PrivateKeyEntry" % token)

    @needs("javac", "keytool", "nginx")
    def test_https_url_connection(self):
        LAB.must("javac", "-d", LAB.path("java"), os.path.join(harness.ROOT, "tests/pkcs11/Https.java"))
        LAB.must("keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", "ca/ca.pem", "-keystore", "trust.p12", "-storepass",
                 "changeit")
        with LAB.nginx() as server:
            for token in TOKENS:
                self.configure(token)
                done = LAB.must("java", "-cp", LAB.path("java"), "-Djavax.net.ssl.trustStore=trust.p12",
                                "-Djavax.net.ssl.trustStorePassword=changeit", "Https", "java.cfg", pin_of(token) or "",
                                "https://localhost:%s/" % server.port)
                self.assertIn(b"you are CN=%s,O=Example" % token.encode(), done.out)


if __name__ == "__main__":
    harness.tap_main()
