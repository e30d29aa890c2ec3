"""tests/interop/lab.py: what the cells share: a temporary directory with keys and certificates, programs with
bounded run times, free ports. Everything runs in a network namespace of its own (see __main__.py), so that servers that
listen on every address are reached by nobody. Processes are ended by their own id."""

import base64
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
BUILD = os.path.abspath(os.environ.get("TPMTLS_INTEROP_BUILD", os.path.join(ROOT, "build-interop")))
TRIXIE = os.environ.get("TPMTLS_TRIXIE", os.path.expanduser("~/.cache/tpmtls/trixie"))
SID = os.environ.get("TPMTLS_SID", os.path.expanduser("~/.cache/tpmtls/sid"))
MAKES = {TRIXIE: "./dev interop --debian13", SID: "./dev interop --debian-next"}
PUBLIC_NAME, SECRET_NAME = "public.example", "secret.example"  # of ECH
NAMES = "subjectAltName=DNS:localhost,DNS:%s,DNS:%s,IP:127.0.0.1" % (PUBLIC_NAME, SECRET_NAME)
WAIT = 15  # seconds for a program to do one thing

OPENSSL_CERTS = {
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "rsa2048": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsapss": ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ed25519": ["-algorithm", "ED25519"],
    "ed448": ["-algorithm", "ED448"],
    "mldsa65": ["-algorithm", "ML-DSA-65"],
}


class Failed(Exception):
    """A cell that did not do what it should."""


class Absent(Exception):
    """A peer that is not on this machine; the text says what installs it."""


class Process:
    """A program that runs; stdout and stderr are collected. With echo, what it prints is written back to its stdin:
    that makes an echo server of a program that connects stdin and stdout with its peer."""

    def __init__(self, command, cwd, env, echo=False):
        self.command = command
        self.process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        self.out, self.err, self.changed = bytearray(), bytearray(), threading.Condition()
        self.threads = [threading.Thread(target=self._read, args=(self.process.stdout, self.out, echo), daemon=True),
                        threading.Thread(target=self._read, args=(self.process.stderr, self.err, False), daemon=True)]
        for thread in self.threads:
            thread.start()

    def _read(self, stream, into, echo):
        while True:
            data = os.read(stream.fileno(), 65536)
            with self.changed:
                into += data
                self.changed.notify_all()
            if not data:
                return
            if echo:
                self.write(data)

    def write(self, data):
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def text(self):
        with self.changed:
            return (bytes(self.err) + bytes(self.out[:20000])).decode("utf-8", "replace")

    def wait_until(self, condition, seconds=WAIT):
        """True when condition() holds; False when time is over or the program ended without it."""
        limit = time.monotonic() + seconds
        with self.changed:
            while not condition():
                left = limit - time.monotonic()
                ended = self.process.poll() is not None and not any(t.is_alive() for t in self.threads)
                if left <= 0 or ended:
                    return condition()
                self.changed.wait(min(left, 0.05))
        return True

    def wait_for(self, pattern, seconds=WAIT):
        found = []

        def look():
            found[:] = [re.search(pattern, (bytes(self.out) + b"\n" + bytes(self.err)).decode("utf-8", "replace"))]
            return found[0] is not None
        if not self.wait_until(look, seconds):
            raise Failed("no '%s' in: %s" % (pattern, self.text()))
        return found[0]

    def finish(self, seconds=WAIT):
        """Wait until it ends by itself; its exit code, None when it had to be killed."""
        code = None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        self.stop()
        return code

    def stop(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(how)
                try:
                    self.process.wait(2)
                except subprocess.TimeoutExpired:
                    continue
        for thread in self.threads:
            thread.join(2)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except OSError:
                pass


class Lab:
    """kinds: the server's certificates that are made, all that there can be unless told."""

    def __init__(self, kinds=tuple(OPENSSL_CERTS)):
        self.dir = tempfile.mkdtemp(prefix="tpmtls-interop-")
        self.env = dict(os.environ, LC_ALL="C.UTF-8", TPMTLS_TPM="embedded:" + os.path.join(self.dir, "tpm"), HOME=self.dir)
        for name in ("SSLKEYLOGFILE", "OPENSSL_CONF", "JAVA_TOOL_OPTIONS"):
            self.env.pop(name, None)
        self.running = []
        self.openssl = ["openssl"]
        self._certificates(kinds)
        self._data()

    # ---- programs ----

    def path(self, name):
        return os.path.join(self.dir, name)

    def spawn(self, *command, echo=False, env=None):
        process = Process([str(word) for word in command], self.dir, dict(self.env, **(env or {})), echo)
        self.running.append(process)
        return process

    def stop_all(self):
        while self.running:
            self.running.pop().stop()

    def run(self, *command, stdin=b"", env=None, seconds=120, cwd=None):
        """(exit code, stdout + stderr as text)"""
        done = subprocess.run([str(word) for word in command], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              cwd=cwd or self.dir, env=dict(self.env, **(env or {})), timeout=seconds, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def must(self, *command, **kw):
        code, text = self.run(*command, **kw)
        if code != 0:
            raise Failed("%s: exit code %d: %s" % (" ".join(map(str, command)), code, text))
        return text

    def find(self, program, package):
        found = shutil.which(program) or shutil.which("/usr/sbin/" + program)
        if found is None:
            raise Absent("%s is not installed: apt-get install %s" % (program, package))
        return found

    # ---- the roots of other Debians: their programs run through their own loaders ----

    def trixie(self, program, package, root=TRIXIE):
        path = next((p for p in (os.path.join(root, d, program) for d in ("usr/bin", "usr/sbin")) if os.path.exists(p)), None)
        if path is None:
            raise Absent("%s is not in the root %s: %s makes it (package %s)" % (program, root, MAKES[root], package))
        return self.loader(root) + [path]

    @staticmethod
    def trixie_version(package, root=TRIXIE):
        with open(os.path.join(root, "var/lib/dpkg/status"), encoding="utf-8") as f:
            return re.search(r"Package: %s\n(?:.+\n)*?Version: (\S+)" % package, f.read()).group(1)

    @staticmethod
    def loader(root=TRIXIE, *first):
        """first: folders whose libraries go before those of the root."""
        found = [path for where in ("usr/lib*", "usr/lib/*-linux-gnu") for path in glob.glob(os.path.join(root, where, "ld-linux-*.so.*"))]
        if not found:
            raise Absent("there is no root in %s: %s makes it" % (root, MAKES[root]))
        lib = next(d for d in glob.glob(os.path.join(root, "usr/lib/*-linux-gnu")))
        return [found[0], "--library-path", ":".join(first + (lib, os.path.join(lib, "android")))]

    def tt_peer(self, debian13=False):
        if not debian13:
            return [os.path.join(BUILD, "tests/interop/tt_peer")]
        program = os.path.join(TRIXIE, "src/interop/tests/interop/tt_peer")
        if not os.path.exists(program):
            raise Absent("ML-KEM needs libcrypto 3.5: ./dev interop --debian13 builds tt_peer in the Debian 13 root")
        return self.loader() + [program]

    def compile_peer(self, source, pkg, packages):
        """Our own few lines for a library of this machine."""
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", pkg], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if flags.returncode != 0:
            raise Absent("%s is not installed: apt-get install %s" % (pkg, packages))
        program = self.path("peer-" + pkg)
        self.must("gcc", "-O1", "-D_GNU_SOURCE", os.path.join(PEERS, source), "-o", program, *flags.stdout.decode().split())
        return [program]

    def trixie_peer(self, name, root=TRIXIE):
        """The same in the root of another Debian, where tests/interop/debian13 or debian-next built it."""
        program = os.path.join(root, "src/interop-peers", name)
        if not os.path.exists(program):
            raise Absent("%s builds %s in the root" % (MAKES[root], name))
        return self.loader(root) + [program]

    @staticmethod
    def tpmtls():
        return [os.path.join(BUILD, "tpmtls")]

    # ---- ports ----

    @staticmethod
    def free_port():
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def wait_listening(self, process, port, seconds=WAIT):
        """Until somebody listens on the port; seen in /proc, so that no connection is used up."""
        def listens():
            for name in ("tcp", "tcp6"):
                with open("/proc/net/" + name, encoding="ascii") as f:
                    if any(re.search(r":%04X \S+ 0A " % port, line) for line in f):
                        return True
            return False
        if not process.wait_until(listens, seconds):
            raise Failed("nobody listens: " + process.text())

    # ---- keys, certificates, data ----

    def _certificates(self, kinds):
        self.must("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
                  "-out", "ca.pem", "-days", "30", "-subj", "/CN=Interop CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.kinds = []
        for kind in kinds:
            if kind.startswith("mldsa"):
                try:
                    self.openssl = self.trixie("openssl", "openssl")
                except Absent:
                    continue
            self.must(*self.openssl, "genpkey", *OPENSSL_CERTS[kind], "-out", kind + ".key")
            self._sign(kind, "localhost", "serverAuth,clientAuth", NAMES)
            self.kinds.append(kind)
        self.openssl = ["openssl"]
        self.must("openssl", "genpkey", *OPENSSL_CERTS["p256"], "-out", "client.key")
        self._sign("client", "device", "clientAuth", "subjectAltName=DNS:device.example")
        for name, subject, usage in (("tpm-server", "localhost", "serverAuth"), ("tpm-client", "device", "clientAuth")):
            self.must(*self.tpmtls(), "key", "create", "--type", "p256", "-o", name + ".key")
            self.must(*self.tpmtls(), "csr", "--key", name + ".key", "--subject", "/CN=" + subject, "--san", "DNS:localhost", "-o", name + ".csr")
            self._sign(name, None, usage, NAMES)
        for name in ("ech", "ech-old"):
            self._ech(name)
        for name in os.listdir(self.dir):
            if os.path.isfile(self.path(name)):
                os.chmod(self.path(name), 0o600)

    def _ech(self, name):
        """A key with its ECHConfigList in all forms in which peers want them."""
        self.must(*self.tpmtls(), "ech-key", "-o", name + ".pem", "--public-name", PUBLIC_NAME)
        with open(self.path(name + ".pem"), encoding="ascii") as f:
            blocks = dict(re.findall("BEGIN ([A-Z ]+)-----(.*?)-----END", f.read(), re.S))
        key, configs = (base64.b64decode(blocks[kind]) for kind in ("PRIVATE KEY", "ECHCONFIG"))
        text = "".join(blocks["ECHCONFIG"].split())
        for suffix, data in (("b64", text.encode()), ("list", configs), ("config", configs[2:]), ("raw", key[-32:]),
                             ("nss", base64.b64encode(len(key).to_bytes(2, "big") + key + configs))):
            with open(self.path(name + "." + suffix), "wb") as f:
                f.write(data)

    def ech_list(self, case):
        """The ECHConfigList, in base64, that a client gets: of the server's key, or of another one."""
        return self.text(("ech" if case.ech == "accept" else "ech-old") + ".b64")

    def text(self, name):
        with open(self.path(name), encoding="ascii") as f:
            return f.read()

    def make_pkcs12(self):
        """What JSSE and NSS read instead of PEM, for each kind and the client."""
        for kind in self.kinds + ["client"]:
            openssl = self.trixie("openssl", "openssl") if kind.startswith("mldsa") else ["openssl"]
            if not os.path.exists(self.path(kind + ".p12")):
                self.must(*openssl, "pkcs12", "-export", "-in", kind + ".pem", "-inkey", kind + ".key", "-certfile", "ca.pem", "-name", kind,
                          "-passout", "pass:interop", "-out", kind + ".p12")

    def _sign(self, name, subject, usage, san):
        if subject is not None:
            self.must(*self.openssl, "req", "-new", "-key", name + ".key", "-subj", "/CN=" + subject, "-out", name + ".csr")
        with open(self.path(name + ".ext"), "w", encoding="ascii") as f:
            f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature%s\nextendedKeyUsage=%s\n%s\n" %
                    (",keyEncipherment" if name == "rsa2048" else "", usage, san))  # NSS wants it of an RSA server, for TLS 1.3, too
        self.must(*self.openssl, "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "20",
                  "-extfile", name + ".ext", "-out", name + ".pem")

    def _data(self):
        """Lines that no program takes for a command of its own."""
        self.data = {}
        for name, size in (("small", 2048), ("big", 1 << 20)):
            lines = ["x%08d " % i + "0123456789abcdef" * 3 + "abcde\n" for i in range(size // 64)]
            self.data[name] = "".join(lines).encode("ascii")
            with open(self.path(name), "wb") as f:
                f.write(self.data[name])
        with open(self.path("early"), "wb") as f:
            f.write(b"xearly data that could be replayed\n")

    def close(self):
        self.stop_all()
        shutil.rmtree(self.dir, ignore_errors=True)
