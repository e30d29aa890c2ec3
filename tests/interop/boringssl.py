"""BoringSSL: bssl of unstable (package android-boringssl), for what it alone has beside OpenSSL: Encrypted Client Hello."""

import os

from interop.lab import SID
from interop.peer import Peer, talk
from interop.run import Server


class BoringSSL(Peer):
    key, name = "boringssl", "BoringSSL"
    only = ("full", "HRR", "aes128", "ECH", "ECH retry")
    says = {}
    ech = (("server", "accept"), ("server", "retry"), ("client", "accept"))
    no_ech = "bssl client has no option to connect again with the retry configs that came"

    def program(self, lab):
        return lab.trixie("bssl-tool", "android-boringssl", SID)

    def version(self, lab):
        self.program(lab)
        return "BoringSSL of Android " + lab.trixie_version("android-boringssl", SID)

    def serve(self, lab, case):
        port = lab.free_port()
        words = ["-accept", port, "-cert", case.cert + ".pem", "-key", case.cert + ".key", "-min-version", "tls1.3", "-loop"]
        if case.retry:
            words += ["-curves", "P-384"]
        if case.ech:
            words += ["-ech-key", "ech.raw", "-ech-config", "ech.config"]
        process = lab.spawn(*self.program(lab), "server", *words, echo=True)
        lab.wait_listening(process, port)
        return Server(process, port)

    def connect(self, lab, case, port):
        words = ["-connect", "127.0.0.1:%d" % port, "-server-name", "localhost", "-root-certs", "ca.pem", "-min-version", "tls1.3"]
        if case.ech:
            words += ["-ech-config-list", "ech.list" if case.ech == "accept" else "ech-old.list"]
        return talk(lab, case, self.program(lab) + ["client"] + [str(w) for w in words])
