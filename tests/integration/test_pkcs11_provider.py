"""tests/integration/test_pkcs11_provider.py: the PKCS#11 module in what stands on OpenSSL, by pkcs11-provider, as Debian 13 has
it: openssl itself, curl, nginx with a worker process, Python. TLS 1.3, with a P-256 and an RSA key, with and without a PIN.
Skipped where there is no pkcs11-provider, as on Debian 12."""

import os
import subprocess
import unittest

import harness
from tokens import MODULE, TOKENS, TokenLab, needs

MODULES = subprocess.run(["openssl", "version", "-m"], capture_output=True, text=True, check=True).stdout.split('"')[1]
PROVIDER = os.path.join(MODULES, "pkcs11.so")
LAB = None

PYTHON = """import socket, ssl, sys
context = ssl.create_default_context(cafile="ca/ca.pem")
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.load_cert_chain(sys.argv[1], sys.argv[2])
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[3]))), server_hostname="localhost") as s:
    s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print(s.makefile().read())
"""


def setUpModule():
    """The key files hold URIs, which whatever reads a key of OpenSSL's takes."""
    global LAB
    if not os.path.exists(PROVIDER):
        return
    LAB = TokenLab()
    LAB.write("provider.cnf", "openssl_conf = c\n[c]\nproviders = p\n[p]\ndefault = d\npkcs11 = m\n[d]\nactivate = 1\n[m]\nmodule = %s\n"
              "activate = 1\npkcs11-module-path = %s\npkcs11-module-token-pin = file:%s\npkcs11-module-encode-provider-uri-to-pem = true\n"
              % (PROVIDER, MODULE, LAB.path("pin")))
    for token in TOKENS:
        LAB.must("openssl", "pkey", "-in", LAB.uri(token, "private"), "-out", token + ".uri.pem", env=provided())


def tearDownModule():
    if LAB:
        LAB.close()


def provided():
    return {"OPENSSL_CONF": LAB.path("provider.cnf")}


@needs(PROVIDER)
class Provider(unittest.TestCase):
    def sees(self, *command, stdin=b""):
        """Each token's key in a client; {} in the command stands for the token, @ for the port."""
        with LAB.nginx() as server:
            for token in TOKENS:
                done = LAB.must(*(word.replace("{}", token).replace("@", server.port) for word in command), env=provided(), stdin=stdin)
                self.assertIn(b"you are CN=%s,O=Example" % token.encode(), done.out)

    def test_key_file(self):
        for token in TOKENS:
            self.assertIn(b"BEGIN PKCS#11 PROVIDER URI", LAB.read(token + ".uri.pem"))

    @needs("nginx")
    def test_s_client(self):
        uri = "pkcs11:token={};object={}"
        self.sees("openssl", "s_client", "-connect", "127.0.0.1:@", "-tls1_3", "-CAfile", "ca/ca.pem", "-verify_return_error", "-ign_eof",
                  "-key", uri + ";type=private", "-cert", uri + ";type=cert", stdin=b"GET / HTTP/1.0\r\n\r\n")

    @needs("curl", "nginx")
    def test_curl(self):
        self.sees("curl", "-sS", "--max-time", "20", "--cacert", "ca/ca.pem", "--key", "{}.uri.pem", "--cert", "{}.pem", "https://localhost:@/")

    @needs("nginx")
    def test_python(self):
        LAB.write("client.py", PYTHON)
        self.sees("/usr/bin/python3", "client.py", "{}.pem", "{}.uri.pem", "@")

    @needs("curl", "nginx")
    def test_nginx(self):
        """The worker is a child of the process that read the key. OpenSSL has the module check the client's signature, too, once it
        has signed with an EC key."""
        for token in TOKENS:
            keys = "ssl_certificate_key %s.uri.pem; ssl_certificate %s.pem;" % (token, token)
            with LAB.nginx(keys, provided(), main="user %s; worker_processes 1;" % ("root" if os.getuid() == 0 else "nobody")) as server:
                done = LAB.must("curl", "-sS", "--max-time", "20", "--cacert", "ca/ca.pem", "--key", "soft.key", "--cert", "soft.pem",
                                "https://localhost:%s/" % server.port)
                self.assertIn(b"you are CN=localhost", done.out)


if __name__ == "__main__":
    harness.tap_main()
