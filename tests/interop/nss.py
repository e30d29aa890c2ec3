"""NSS: tstclnt and selfserv (Debian 12: 3.87; Debian 13: 3.110)."""

import os
import re

from interop.cases import PSK
from interop.lab import Failed
from interop.peer import Peer, talk
from interop.run import Doc, Seen, Server

GROUPS = {"x25519": "x25519", "secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521", "X25519MLKEM768": "mlkem768x25519",
          "SecP256r1MLKEM768": "mlkem768secp256r1", "x448": "x448"}
SUITES = {"TLS_AES_128_GCM_SHA256": ":1301", "TLS_AES_256_GCM_SHA384": ":1302", "TLS_CHACHA20_POLY1305_SHA256": ":1303"}


class SelfservServer(Server):
    """An HTTP server that answers with a page about the request, and then closes."""
    early = b"GET /early HTTP/1.0\r\n\r\n"

    @staticmethod
    def request(data):
        return b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(data) + data

    @staticmethod
    def is_answer(got, sent):
        return b"HTTP/1.0 200 OK" in got and sent.split(b"\r\n")[0] in got


class NSS(Peer):
    key, name = "nss-3.87", "NSS 3.87"
    no_group = Seen(r"Bad group specified|P256, P384, P521, x25519")
    says = {"x448": no_group, "X25519MLKEM768": no_group, "SecP256r1MLKEM768": no_group, ("server", "cert ed25519"): Seen("UNABLE_TO_IMPORT_KEY"),
            ("client", "cert ed25519"): Seen("SSL_ERROR_NO_CYPHER_OVERLAP")}

    def speaks_http(self, case):
        return case.role == "server" or case.resume

    def program(self, lab, name):
        return [lab.find(name, "libnss3-tools")]

    def version(self, lab):
        return "NSS " + lab.must("dpkg-query", "-W", "-f", "${Version}", "libnss3-tools")

    def prepare(self, lab):
        """A database for each key (certificates of the same subject share one nickname), made by the tools of Debian 12."""
        certutil, pk12util = lab.find("certutil", "libnss3-tools"), lab.find("pk12util", "libnss3-tools")
        for kind in ("p256", "p384", "rsa2048", "rsapss", "ed25519", "client"):
            path = lab.path("nss-" + kind)
            if os.path.exists(path):
                return
            os.mkdir(path)
            lab.must(certutil, "-N", "-d", "sql:" + path, "--empty-password")
            lab.must(certutil, "-A", "-d", "sql:" + path, "-n", "ca", "-t", "CT,CT,", "-i", lab.path("ca.pem"))
            NSS.imported[kind] = lab.run(pk12util, "-i", lab.path(kind + ".p12"), "-d", "sql:" + path, "-W", "interop")

    imported = {}

    @staticmethod
    def have(kind):
        code, text = NSS.imported[kind]
        if code != 0:
            raise Failed(text)

    def common(self, case):
        words = ["-d", "sql:nss-" + (case.cert if case.role == "server" else "client"), "-V", "tls1.3:tls1.3"]
        if case.cert == "rsapss":
            words += ["-J", "rsa_pss_pss_sha256"]
        if case.suite:
            words += ["-c", SUITES[case.suite]]
        if case.group or (case.retry and case.role == "server"):
            words += ["-I", GROUPS[case.group or "secp384r1"]]
        if case.psk:
            words += ["-z", "0x%s:%s" % (PSK[1], PSK[0]), "-c", ":1301"]
        return words

    def serve(self, lab, case):
        self.have(case.cert)
        port = lab.free_port()
        words = self.common(case) + ["-n", case.cert, "-p", port, "-v"]
        if case.client_cert:
            words += ["-r", "-r"]
        if case.resume:
            words += ["-u"]
        if case.early:
            words += ["-Z"]
        process = lab.spawn(*self.program(lab, "selfserv"), *words)
        lab.wait_listening(process, port)
        return SelfservServer(process, port)

    def connect(self, lab, case, port):
        words = self.common(case) + ["-h", "localhost", "-p", port, "-4"]
        if case.client_cert:
            words += ["-n", "client"]
        if case.resume:
            words += ["-L", "2"]
        if case.early:
            words += ["-Z"]
        if case.resume:
            with open(lab.path("request"), "wb") as f:
                f.write(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(lab.data[case.data]) + lab.data[case.data])
            process = lab.spawn(*self.program(lab, "tstclnt"), *words, "-A", "request")
            code = process.finish(10)
            if code not in (0, None):
                raise Failed(process.text())
            return process.text()
        return talk(lab, case, self.program(lab, "tstclnt") + words)


class NSS13(NSS):
    key, name = "nss-3.110", "NSS 3.110"
    says = {"x448": NSS.no_group, ("server", "cert ed25519"): Seen("UNABLE_TO_IMPORT_KEY"), ("client", "cert ed25519"): Seen("SSL_ERROR_NO_CYPHER_OVERLAP")}

    def program(self, lab, name):
        return lab.trixie(name, "libnss3-tools")

    def version(self, lab):
        with open(os.path.join(lab.trixie_root(), "var/lib/dpkg/status"), encoding="utf-8") as f:
            return "NSS " + re.search(r"Package: libnss3-tools\n(?:.+\n)*?Version: (\S+)", f.read()).group(1)
