"""curl: a client that speaks HTTP."""

from interop.lab import Failed
from interop.peer import Peer
from interop.run import Doc, Seen, cannot_have_certificates, cannot_have_ml_kem

CLIENT_ONLY = Doc("man curl: \"curl is a tool for transferring data from or to a server\"; it is none")


class Curl(Peer):
    key, name, http = "curl", "curl", ("client",)
    says = {
        "0-RTT": Doc("curl.se/docs/manpage.html: --tls-earlydata \"Added in 8.11.0\""),
        "external PSK": Doc("curl.se/docs/manpage.html has no option for a pre-shared key"),
        **cannot_have_ml_kem(Seen(r"failed setting curves list")),
        **cannot_have_certificates("mldsa65"),
    }

    def words(self, case):
        return CLIENT_ONLY if case.role == "server" else super().words(case)

    def version(self, lab):
        return " ".join(lab.must(lab.find("curl", "curl"), "--version").split()[:5])

    def connect(self, lab, case, port):
        words = ["--silent", "--show-error", "--tlsv1.3", "--cacert", "ca.pem", "--resolve", "localhost:%d:127.0.0.1" % port, "--max-time", "15",
                 "--http1.1", "-H", "Expect:"]
        if case.client_cert:
            words += ["--cert", "client.pem", "--key", "client.key"]
        if case.suite:
            words += ["--tls13-ciphers", case.suite]
        if case.group:
            words += ["--curves", {"secp256r1": "prime256v1"}.get(case.group, case.group)]
        if not case.tpm:
            words += ["--data-binary", "@" + case.data]
        # An answer to KeyUpdate goes out with what is written after it was read: the third request.
        times = 3 if case.key_update else 2 if case.resume else 1
        url = "https://localhost:%d/" % port
        process = lab.spawn("curl", *words, *[url] * times)
        code = process.finish()
        got = bytes(process.out)
        if code != 0:
            raise Failed(process.text()[-800:])
        if case.tpm and b"TLSv1.3" not in got or not case.tpm and got.count(lab.data[case.data]) != times:
            raise Failed("another page: %r" % got[-300:])
        return process.text()
