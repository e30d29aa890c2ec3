"""Mbed TLS 3.6 of Debian 13 (Debian 12's 2.28 has no TLS 1.3): our own few lines, peers/mbedtls.c."""

from interop.peer import ProgramPeer
from interop.run import Seen, cannot_have_certificates, cannot_have_ml_kem


NO_GROUP = Seen("The handshake negotiation failed", "with a list of that group alone")
NO_SHARE = Seen("The requested feature is not available", "with a list of that group alone")


class MbedTLS(ProgramPeer):
    key, name = "mbedtls", "Mbed TLS 3.6"
    says = {"0-RTT": Seen("MBEDTLS_SSL_EARLY_DATA is not defined", "Debian builds it without"),
            "KeyUpdate": Seen("An unexpected message was received from our peer", "it knows no KeyUpdate"),
            **cannot_have_ml_kem(NO_GROUP, NO_SHARE),
            **cannot_have_certificates("rsapss", "ed25519", "ed448", "mldsa65")}

    def command(self, lab):
        return lab.trixie_peer("mbedtls")

    def version(self, lab):
        self.command(lab)
        return "Mbed TLS " + lab.trixie_version("libmbedtls-dev")
