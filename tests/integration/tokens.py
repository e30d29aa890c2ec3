"""tests/integration/tokens.py: what the tests of the PKCS#11 module share: identities of a P-256 and an RSA key, with and
without a PIN, certified by one CA, and the servers that their users talk to."""

import os
import re
import shutil
import socket
import time
import unittest

import harness

MODULE = os.environ["TPMTLS_PKCS11"]
PIN = "s3cret-pin"
KINDS = ("p256", "rsa2048")
TOKENS = KINDS + tuple("pin-" + kind for kind in KINDS)


def needs(*programs):
    """Skip, with the program's name, where it is not installed."""
    missing = [p for p in programs if not (os.path.exists(p) if p.startswith("/") else shutil.which(p))]
    return unittest.skipIf(missing, "not installed: " + ", ".join(missing))


def pin_of(name):
    return PIN if name.startswith("pin-") else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


class TokenLab(harness.Lab):
    """tpm: what TPMTLS_TPM is to be; by default an embedded one."""

    def __init__(self, tokens=TOKENS, tpm=None):
        super().__init__()
        self.env["TPMTLS_IDENTITIES"] = self.path("identities")
        self.env["HOME"] = self.path("home")
        if tpm:
            self.env["TPMTLS_TPM"] = tpm
        os.mkdir(self.path("home"))
        self.must(harness.PROGRAM, "ca", "init", "--dir", "ca", "--subject", "/CN=Test CA")
        self.write("pin", PIN + "\n")
        for name in tokens:
            self.add_token(name)
        self.must("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "soft.key")
        self.openssl_request("soft")
        self.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", "soft.csr", "--profile", "both", "-o", "soft.pem")

    def add_token(self, name, *how):
        auth = ("--auth-file", "pin") if pin_of(name) else ()
        self.must(harness.PROGRAM, "key", "create", "--type", name.replace("pin-", ""), "-o", name + ".key", *auth, *how)
        self.certify(name, *auth)

    def certify(self, name, *auth):
        self.must(harness.PROGRAM, "csr", "--key", name + ".key", "--subject", "/O=Example/CN=" + name, "--san", "DNS:localhost",
                  "-o", name + ".csr", *auth)
        self.must(harness.PROGRAM, "ca", "sign", "--dir", "ca", name + ".csr", "--profile", "both", "-o", name + ".pem")
        self.must(harness.PROGRAM, "identity", "add", name, "--key", name + ".key", "--cert", name + ".pem")

    def uri(self, name, kind):
        return self.must(harness.PROGRAM, "identity", "uri", name, "--type", kind).out.decode().strip()

    def tool(self, *args, **kw):
        return self.run("pkcs11-tool", "--module", MODULE, *args, **kw)

    def only(self, name):
        """The environment of a program that shall see this token and no other."""
        folder = self.path("only-" + name)
        if not os.path.exists(folder):
            os.mkdir(folder)
            os.symlink(self.path("identities/" + name), os.path.join(folder, name))
        return {"TPMTLS_IDENTITIES": folder}

    def place(self, name):
        """Where a token stands in the list of slots."""
        return re.findall(r"tpmtls identity (\S+)", self.tool("-L").out.decode()).index(name)

    def bound(self, folder, over):
        """The beginning of a command for which our folder lies over one of the system's, in a mount namespace of its own."""
        script = self.path("bound-" + folder)
        self.write(script, "#!/bin/sh\nmount --bind %s %s && exec \"$@\"\n" % (self.path(folder), over))
        os.chmod(script, 0o755)
        for flags in ("-m", "-rm"):
            if self.run("unshare", flags, script, "true").code == 0:
                return "unshare", flags, script
        raise unittest.SkipTest("no mount namespace can be had here")

    def nss(self, folder):
        """A database of NSS that trusts our CA and has the module. FRIENDLY: certificates are seen without a PIN, so that NSS
        does not ask for those of all tokens when it looks for one."""
        os.makedirs(self.path(folder))
        self.must("certutil", "-N", "-d", "sql:" + folder, "--empty-password")
        self.must("certutil", "-A", "-d", "sql:" + folder, "-n", "ca", "-t", "C,,", "-i", "ca/ca.pem")
        self.must("modutil", "-force", "-dbdir", "sql:" + folder, "-add", "tpmtls", "-libfile", MODULE, "-mechanisms", "FRIENDLY")

    def s_server(self, *args):
        """openssl s_server that demands a certificate of our CA and answers with what it saw."""
        server = self.background("openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_3", "-cert", "soft.pem", "-key",
                                 "soft.key", "-CAfile", "ca/ca.pem", "-Verify", "3", "-verify_return_error", *args)
        server.port = server.wait_for(r"ACCEPT \S*:(\d+)").group(1)
        return server

    def nginx(self, keys="ssl_certificate_key soft.key; ssl_certificate soft.pem;", env=None, wrap=(), main="master_process off;"):
        """nginx that demands a certificate of our CA and answers with its name."""
        port = free_port()
        self.write("nginx.conf", """daemon off; %s pid nginx.pid; error_log stderr;
env TPMTLS_TPM; env TPMTLS_IDENTITIES;
events {} http { log_format seen "seen $ssl_client_s_dn"; access_log /dev/stderr seen; client_body_temp_path tmp;
proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp; server { listen 127.0.0.1:%s ssl; ssl_protocols TLSv1.3; %s ssl_verify_client on;
ssl_client_certificate ca/ca.pem; location / { default_type text/html; return 200 "<title>you are $ssl_client_s_dn</title>\\n"; } } }
""" % (main, port, keys))
        server = harness.Background((*wrap, "nginx", "-p", self.dir, "-c", self.path("nginx.conf"), "-e", "stderr"),
                                    dict(self.env, **(env or {})), self.dir)
        server.port = port
        for _ in range(200):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", int(port))) == 0 or server.process.poll() is not None:
                    break
            time.sleep(0.05)
        return server
