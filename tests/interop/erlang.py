"""Erlang's ssl application."""

import os
import shutil

from interop.lab import PEERS
from interop.peer import ProgramPeer
from interop.run import NO_SCHEME, Seen, cannot_have_ml_kem

NO_GROUP = Seen(r"decode_error|supported_groups|handshake_failure|insufficient|no key exchange group|Handshake Failure")


class Erlang(ProgramPeer):
    key, name = "erlang", "Erlang ssl"
    says = {"external PSK": Seen(r"psk_identity", "for tlsv1 to tlsv1.2 only, it says of the option"),
            ("server", "cert rsapss"): Seen(r"rsa_pss_pss => \[\]|asn1_NOVALUE", "OTP 25 ends in ssl_config with an RSASSA-PSS key that has no parameters, from"),
            ("server", "cert ed448"): Seen(r"signed with ed25519, which does not fit its key", "OTP 25 names ed25519 in CertificateVerify with an Ed448 key (s_client: "
                                           "wrong signature type); our client says"),
            ("server", "cert mldsa65"): Seen(r"no function clause matching", "OTP 25 ends in ssl_config:group_pairs"),
            **cannot_have_ml_kem(NO_GROUP),
            ("client", "cert mldsa65"): NO_SCHEME}

    def command(self, lab):
        shutil.copy(os.path.join(PEERS, "peer.erl"), lab.path("peer.escript"))
        return [lab.find("escript", "erlang-base erlang-ssl"), lab.path("peer.escript")]

    def version(self, lab):
        lab.find("erl", "erlang-base erlang-ssl")
        out = lab.must("erl", "-noshell", "-eval", 'application:load(ssl), {ok, V} = application:get_key(ssl, vsn), io:format("Erlang/OTP ~s, ssl ~s", '
                       '[erlang:system_info(otp_release), V]), halt().')
        return out.strip()
