"""tests/integration/test_pkcs11_users.py: the PKCS#11 module in OpenSSH, NSS and Java: each does its own job with a P-256 and
an RSA key, with and without a PIN. A program that is not there is skipped, by name."""

import os
import pwd
import re
import unittest

import harness
from tokens import KINDS, MODULE, PIN, TOKENS, TokenLab, needs

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
    def test_modutil(self):
        os.mkdir(LAB.path("nss"))
        LAB.must("certutil", "-N", "-d", "sql:nss", "--empty-password")
        LAB.must("modutil", "-force", "-dbdir", "sql:nss", "-add", "tpmtls", "-libfile", MODULE)
        listed = LAB.must("modutil", "-dbdir", "sql:nss", "-list", "tpmtls").out.decode()
        self.assertEqual(sorted(re.findall(r"Token Name: (\S+)", listed)), sorted(TOKENS))


@needs("keytool")
class Java(unittest.TestCase):
    def test_keytool(self):
        for token in KINDS + ("pin-p256",):
            LAB.write("java.cfg", "name = tpmtls\nlibrary = %s\nslotListIndex = %s\n" % (MODULE, self.place(token)))
            done = LAB.must("keytool", "-list", "-storetype", "PKCS11", "-keystore", "NONE", "-providerClass",
                            "sun.security.pkcs11.SunPKCS11", "-providerArg", "java.cfg", "-storepass", PIN)
            self.assertRegex(done.out.decode(), r"(?s)1 entry.*%s, PrivateKeyEntry" % token)

    def place(self, token):
        return re.findall(r"tpmtls identity (\S+)", LAB.tool("-L").out.decode()).index(token)


if __name__ == "__main__":
    harness.tap_main()
