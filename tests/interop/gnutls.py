"""GnuTLS: gnutls-cli and gnutls-serv of Debian 12 (3.7), of Debian 13 (3.8) and of unstable."""

import time

from interop.cases import PSK
from interop.lab import SID, Failed
from interop.peer import Peer, talk
from interop.run import Seen, Server, cannot_have_certificates, cannot_have_ml_kem

GROUPS = {"x25519": "X25519", "secp256r1": "SECP256R1", "secp384r1": "SECP384R1", "secp521r1": "SECP521R1", "x448": "X448",
          "X25519MLKEM768": "X25519-MLKEM768", "SecP256r1MLKEM768": "SECP256R1-MLKEM768",
          "SecP384r1MLKEM1024": "SECP384R1-MLKEM1024", "MLKEM1024": "MLKEM1024"}
SUITES = {"TLS_AES_128_GCM_SHA256": "AES-128-GCM", "TLS_AES_256_GCM_SHA384": "AES-256-GCM",
          "TLS_CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305"}


NO_GROUP = Seen(r"[Ss]yntax error|unsupported|not supported|Error in priorities|request is invalid")


class GnuTLS37(Peer):
    key, name = "gnutls-3.7", "GnuTLS 3.7"
    says = {**cannot_have_ml_kem(NO_GROUP), **cannot_have_certificates("mldsa65")}

    def program(self, lab, name):
        return [lab.find(name, "gnutls-bin")]

    def version(self, lab):
        return lab.must(*self.program(lab, "gnutls-cli"), "--version").splitlines()[0]

    @staticmethod
    def priority(case):
        words = "NORMAL:-VERS-ALL:+VERS-TLS1.3"
        if case.suite or case.psk:
            words += ":-CIPHER-ALL:+" + SUITES[case.suite or "TLS_AES_128_GCM_SHA256"]
        if case.group or (case.retry and case.role == "server"):
            words += ":-GROUP-ALL:+GROUP-" + GROUPS[case.group or "secp384r1"]
        if case.psk:
            words += ":-KX-ALL:+ECDHE-PSK"
        return ["--priority", words]

    def serve(self, lab, case):
        port = lab.free_port()
        words = ["--echo", "-p", port, "--x509cafile", "ca.pem", "--x509certfile", case.cert + ".pem", "--x509keyfile", case.cert + ".key"]
        words += self.priority(case) + (["--require-client-cert", "--verify-client-cert"] if case.client_cert else ["--disable-client-cert"])
        if case.psk:
            with open(lab.path("psk.txt"), "w", encoding="ascii") as f:
                f.write(":".join(PSK) + "\n")
            words += ["--pskpasswd", "psk.txt"]
        if case.early:
            words += ["--earlydata", "--maxearlydata", "16384"]
        process = lab.spawn(*self.program(lab, "gnutls-serv"), *words)
        lab.wait_listening(process, port)
        if case.early:  # tickets of the second in which its replay protection began are refused
            time.sleep(1.5)
        return Server(process, port)

    def connect(self, lab, case, port):
        words = ["-p", port, "127.0.0.1", "--x509cafile", "ca.pem", "--sni-hostname", "localhost", "--verify-hostname", "localhost"]
        words += self.priority(case)
        if case.client_cert:
            words += ["--x509certfile", "client.pem", "--x509keyfile", "client.key"]
        if case.psk:
            words += ["--pskusername", PSK[0], "--pskkey", PSK[1]]
        if case.resume:
            words += ["--resume", "--waitresumption"]
        if case.early:
            words += ["--earlydata", "early"]
        command = self.program(lab, "gnutls-cli") + words
        first = r"Simple Client Mode" if not case.resume else r"(?s)Simple Client Mode.*Simple Client Mode|Resume Handshake was completed(?s:.*)Simple Client Mode|rror"
        text = talk(lab, case, command, first=first)
        if case.resume and "This is a resumed session" not in text:
            raise Failed(text[-600:])
        return text


class GnuTLS38(GnuTLS37):
    key, name = "gnutls-3.8", "GnuTLS 3.8"
    says = dict(GnuTLS37.says)
    says[("client", "0-RTT")] = Seen(r"error sending early data", "gnutls-cli 3.8 says so to gnutls-serv 3.8, too")

    def program(self, lab, name):
        return lab.trixie(name, "gnutls-bin")


class GnuTLSNext(GnuTLS37):
    key, name = "gnutls-3.8.13", "GnuTLS 3.8.13"
    says = dict(GnuTLS37.says)
    says[("client", "cert mldsa65")] = Seen(r"Public key signature verification has failed", "it offers mldsa65, and cannot verify it")

    def program(self, lab, name):
        return lab.trixie(name, "gnutls-bin", SID)
