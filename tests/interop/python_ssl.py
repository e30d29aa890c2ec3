"""Python's ssl module (on OpenSSL 3.0 in Debian 12)."""

import os

from interop.lab import PEERS
from interop.peer import ProgramPeer
from interop.run import Doc, Seen, cannot_have_certificates, cannot_have_ml_kem

NO_EARLY = Doc("the ssl module has no function for early data (docs.python.org/3.11/library/ssl.html)")
NO_PSK = Doc("docs.python.org: SSLContext.set_psk_client_callback and set_psk_server_callback are \"Added in version 3.13\"")


class Python(ProgramPeer):
    key, name = "python", "Python ssl"
    sets_group = False  # SSLContext.set_ecdh_curve knows the NIST curves only
    program = "/usr/bin/python3"
    says = {
        "0-RTT": NO_EARLY, "external PSK": NO_PSK,
        **cannot_have_ml_kem(Seen(r"NO_SUITABLE|HANDSHAKE_FAILURE|handshake failure")),
        **cannot_have_certificates("mldsa65"),
    }

    def command(self, lab):
        return [self.program, "-B", os.path.join(PEERS, "peer.py")]

    def version(self, lab):
        return lab.must(self.program, "-c", "import ssl,sys; print('Python', sys.version.split()[0], 'with', ssl.OPENSSL_VERSION)").strip()
