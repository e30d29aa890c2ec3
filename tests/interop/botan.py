"""Botan 3 of Debian 13: our own few lines, peers/botan.cpp."""

from interop.peer import ProgramPeer
from interop.run import NO_SCHEME, Doc, Seen, cannot_have_certificates


class Botan(ProgramPeer):
    key, name = "botan", "Botan 3"
    says = {"0-RTT": Doc("Botan's tls_channel.h, tls_client.h, tls_server.h: no function for early data"),
            ("server", "SecP256r1MLKEM768"): Seen("Concatenated public values have an unexpected length", "its server says so to its own client, and to s_client"),
            "SecP384r1MLKEM1024": Seen("Group_Params::from_string does not know"),
            ("server", "cert rsapss"): Seen("signed with rsa_pss_rsae_sha384, which does not fit its key", "it names an rsae scheme with an RSASSA-PSS key "
                                            "(s_client: wrong signature type); our client says"),
            ("client", "cert rsapss"): NO_SCHEME, **cannot_have_certificates("ed25519", "ed448", "mldsa65")}

    def command(self, lab):
        return lab.trixie_peer("botan")

    def version(self, lab):
        self.command(lab)
        return "Botan " + lab.trixie_version("libbotan-3-dev")
