"""OpenSSL: s_client and s_server of Debian 12 (3.0), of Debian 13 (3.5), of unstable (3.6) and of experimental (4.0)."""

import os

from interop.cases import PSK
from interop.lab import SID, TRIXIE, Absent
from interop.peer import Peer, talk
from interop.run import Seen, Server, cannot_have_certificates, cannot_have_ml_kem

GROUPS = {"x25519": "X25519", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "x448": "X448"}


class OpenSSL30(Peer):
    key, name = "openssl-3.0", "OpenSSL 3.0"
    says = {
        **cannot_have_ml_kem(Seen(r'Call to SSL_CONF_cmd\(-groups, \w+\) failed')),
        **cannot_have_certificates("mldsa65"),
    }

    def program(self, lab):
        return [lab.find("openssl", "openssl")]

    def env(self):
        return {}

    def version(self, lab):
        return lab.must(*self.program(lab), "version", env=self.env()).split(" (")[0].strip()

    def common(self, case):
        words = ["-tls1_3", "-CAfile", "ca.pem", "-verify_return_error", "-quiet"]
        if case.suite:
            words += ["-ciphersuites", case.suite]
        if case.psk:
            words += ["-psk", PSK[1], "-psk_identity", PSK[0], "-ciphersuites", "TLS_AES_128_GCM_SHA256"]
        if case.group:
            words += ["-groups", GROUPS.get(case.group, case.group)]
        return words

    def serve(self, lab, case):
        port = lab.free_port()
        words = self.common(case) + ["-cert", case.cert + ".pem", "-key", case.cert + ".key"]
        if case.retry:
            words += ["-groups", "P-384"]
        if case.client_cert:
            words += ["-Verify", "1"]
        if case.early:
            words += ["-early_data"]
        if case.ech:
            words += ["-ech_key", "ech.pem"]
        process = lab.spawn(*self.program(lab), "s_server", "-accept", "127.0.0.1:%d" % port, *words, echo=True, env=self.env())
        lab.wait_listening(process, port)
        return Server(process, port)

    def connect(self, lab, case, port):
        words = self.common(case) + ["-connect", "127.0.0.1:%d" % port, "-servername", "localhost", "-verify_hostname", "localhost"]
        if case.client_cert:
            words += ["-cert", "client.pem", "-key", "client.key"]
        if case.ech:
            words += ["-ech_config_list", lab.ech_list(case)]
        command = self.program(lab) + ["s_client"] + words
        if not case.resume:
            return talk(lab, case, command, self.env())
        first = talk(lab, case, command + ["-sess_out", "openssl.session"], self.env())
        more = ["-early_data", "early"] if case.early else []
        return first + talk(lab, case, command + ["-sess_in", "openssl.session"] + more, self.env())


class OpenSSL35(OpenSSL30):
    key, name = "openssl-3.5", "OpenSSL 3.5"
    says = {}
    root = TRIXIE

    def program(self, lab):
        return lab.trixie("openssl", "openssl", self.root)

    def env(self):
        lib = os.path.join(self.root, "usr/lib/x86_64-linux-gnu")
        return {"OPENSSL_CONF": os.path.join(self.root, "etc/ssl/openssl.cnf"), "OPENSSL_MODULES": os.path.join(lib, "ossl-modules")}


class OpenSSL36(OpenSSL35):
    key, name = "openssl-3.6", "OpenSSL 3.6"
    root = SID


class OpenSSL40(OpenSSL36):
    """Its packages are unpacked beside the root's, whose own programs want the older one."""
    key, name = "openssl-4.0", "OpenSSL 4.0"
    ech = (("server", "accept"), ("server", "retry"), ("client", "accept"))
    no_ech = "s_client(1) has no option to connect again with the retry configs that came"

    def program(self, lab):
        where = os.path.join(SID, "src/openssl4/root/usr")
        if not os.path.exists(os.path.join(where, "bin/openssl")):
            raise Absent("./dev interop --debian-next unpacks OpenSSL 4 of experimental in the root " + SID)
        return lab.loader(SID, os.path.join(where, "lib/x86_64-linux-gnu")) + [os.path.join(where, "bin/openssl")]

    def env(self):
        where = os.path.join(SID, "src/openssl4/root/usr")
        return {"OPENSSL_CONF": "/dev/null", "OPENSSL_MODULES": os.path.join(where, "lib/x86_64-linux-gnu/ossl-modules")}
