"""NSS (Debian 12: 3.87; Debian 13: 3.110; unstable: 3.132): tstclnt as the client; as the server our own few lines,
peers/nss.c, and for ECH selfserv."""

import os

from interop.cases import PSK
from interop.lab import SID, TRIXIE, Failed
from interop.peer import ProgramPeer, talk
from interop.run import Seen, Server, cannot_have_ml_kem

GROUPS = {"x25519": "x25519", "secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521", "X25519MLKEM768": "mlkem768x25519",
          "SecP256r1MLKEM768": "mlkem768secp256r1",
          "SecP384r1MLKEM1024": "mlkem1024secp384r1", "MLKEM1024": "mlkem1024", "x448": "x448"}
SUITES = {"TLS_AES_128_GCM_SHA256": ":1301", "TLS_AES_256_GCM_SHA384": ":1302", "TLS_CHACHA20_POLY1305_SHA256": ":1303"}
PACKAGES = "libnss3-tools libnss3-dev"


class NSS(ProgramPeer):
    key, name = "nss-3.87", "NSS 3.87"
    early_pause = 1.5
    no_group = Seen(r"Bad group specified|SSL_ERROR_NO_CYPHER_OVERLAP", "with that group alone")
    no_key = {("server", "cert " + kind): Seen("UNABLE_TO_IMPORT_KEY|UNKNOWN_OBJECT_TYPE|INVALID_ALGORITHM|SEC_ERROR") for kind in ("ed25519", "ed448", "mldsa65")}
    no_scheme = {("client", "cert " + kind): Seen("SSL_ERROR_NO_CYPHER_OVERLAP") for kind in ("ed25519", "ed448", "mldsa65")}
    says = {"x448": no_group, **cannot_have_ml_kem(no_group), **no_key, **no_scheme}
    ech = (("client", "accept"),)
    no_ech = "tstclnt has no option to connect again with the retry configs that came; selfserv is tried from 3.110 on"

    def speaks_http(self, case):
        return case.role == "client" and case.resume

    def program(self, lab, name):
        return [lab.find(name, PACKAGES)]

    def version(self, lab):
        return "NSS " + lab.must("dpkg-query", "-W", "-f", "${Version}", "libnss3-tools")

    def prepare(self, lab):
        """A database for each key (certificates of the same subject share one nickname), made by the tools of Debian 12."""
        certutil, pk12util = lab.find("certutil", PACKAGES), lab.find("pk12util", PACKAGES)
        self.server = self.build(lab)
        lab.make_pkcs12()
        for kind in lab.kinds + ["client"]:
            path = lab.path("nss-" + kind)
            if os.path.exists(path):
                return
            os.mkdir(path)
            lab.must(certutil, "-N", "-d", "sql:" + path, "--empty-password")
            lab.must(certutil, "-A", "-d", "sql:" + path, "-n", "ca", "-t", "CT,CT,", "-i", lab.path("ca.pem"))
            NSS.imported[kind] = lab.run(pk12util, "-i", lab.path(kind + ".p12"), "-d", "sql:" + path, "-W", "interop")

    imported = {}

    def build(self, lab):
        return lab.compile_peer("nss.c", "nss", PACKAGES)

    def command(self, lab):
        return self.server

    def serve(self, lab, case):
        code, text = NSS.imported[case.cert]
        if code != 0:
            raise Failed(text)
        return super().serve(lab, case)

    def client_words(self, lab, case):
        words = ["-d", "sql:nss-client", "-V", "tls1.3:tls1.3"]
        if case.cert == "rsapss":
            words += ["-J", "rsa_pss_pss_sha256"]
        if case.suite:
            words += ["-c", SUITES[case.suite]]
        if case.group:
            words += ["-I", GROUPS[case.group]]
        if case.psk:
            words += ["-z", "0x%s:%s" % (PSK[1], PSK[0]), "-c", ":1301"]
        if case.client_cert:
            words += ["-n", "client"]
        if case.resume:
            words += ["-L", "2"]
        if case.early:
            words += ["-Z"]
        if case.ech:
            words += ["-N", lab.ech_list(case)]
        return words

    def connect(self, lab, case, port):
        words = self.program(lab, "tstclnt") + self.client_words(lab, case) + ["-h", "localhost", "-p", port, "-4"]
        if not case.resume:
            return talk(lab, case, words)
        with open(lab.path("request"), "wb") as f:
            f.write(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(lab.data[case.data]) + lab.data[case.data])
        process = lab.spawn(*words, "-A", "request")
        if process.finish(10) not in (0, None):
            raise Failed(process.text())
        return process.text()


class Selfserv(Server):
    """Answers requests of HTTP with a page."""

    @staticmethod
    def request(data):
        return b"GET / HTTP/1.0\r\n\r\n"

    @staticmethod
    def is_answer(got, sent):
        return got.startswith(b"HTTP/1.0 200") and got.rstrip().endswith(b"EOF")


class NSS13(NSS):
    key, name = "nss-3.110", "NSS 3.110"
    says = {feature: words for feature, words in NSS.says.items() if feature[1] != "X25519MLKEM768"}
    says[("server", "ECH")] = says[("server", "ECH retry")] = Seen("SSL peer reported ECH required", "selfserv rejects, with key and config that 3.132 takes")
    root = TRIXIE
    ech = (("server", "accept"), ("server", "retry"), ("client", "accept"))
    no_ech = "tstclnt has no option to connect again with the retry configs that came"

    def program(self, lab, name):
        return lab.trixie(name, "libnss3-tools", self.root)

    def build(self, lab):
        return lab.trixie_peer("nss", self.root)

    def version(self, lab):
        return "NSS " + lab.trixie_version("libnss3-tools", self.root)

    def speaks_http(self, case):
        return case.role == "server" if case.ech else super().speaks_http(case)

    def serve(self, lab, case):
        if not case.ech:
            return super().serve(lab, case)
        port = lab.free_port()
        process = lab.spawn(*self.program(lab, "selfserv"), "-d", "sql:nss-" + case.cert, "-n", case.cert, "-p", port, "-V", "tls1.3:tls1.3", 
                            "-X", lab.text("ech.nss"))
        lab.wait_listening(process, port)
        return Selfserv(process, port)


class NSSNext(NSS13):
    key, name = "nss-3.132", "NSS 3.132"
    root = SID
    says = {feature: words for feature, words in NSS13.says.items()
            if feature not in (("server", "SecP256r1MLKEM768"), ("server", "SecP384r1MLKEM1024"), ("client", "cert mldsa65"),
                               ("server", "ECH"), ("server", "ECH retry"))}

    def client_words(self, lab, case):
        # Its first group is X25519MLKEM768, for which alone it has a share: an end without ML-KEM must ask for another,
        # and 0-RTT is over (RFC 9846 section 4.3.10).
        return super().client_words(lab, case) + (["-I", "x25519"] if case.early else [])
