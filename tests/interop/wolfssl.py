"""wolfSSL of Debian 12: our own few lines, peers/wolfssl.c."""

from interop.lab import Absent
from interop.peer import ProgramPeer
from interop.run import Seen, cannot_have_certificates, cannot_have_ml_kem

PACKAGES = "libwolfssl-dev"
SUITES = {"TLS_AES_128_GCM_SHA256": "TLS13-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384": "TLS13-AES256-GCM-SHA384",
          "TLS_CHACHA20_POLY1305_SHA256": "TLS13-CHACHA20-POLY1305-SHA256"}
NO_GROUP = Seen(r"wolfSSL_CTX_set_groups: failed")


class WolfSSL(ProgramPeer):
    key, name = "wolfssl", "wolfSSL"
    says = {"0-RTT": Seen("WOLFSSL_EARLY_DATA is not defined", "Debian builds it without --enable-earlydata"),
            **cannot_have_ml_kem(NO_GROUP),
            ("server", "cert rsapss"): Seen("signed with rsa_pss_rsae_sha256, which does not fit its key", "it names an rsae scheme with an RSASSA-PSS key "
                                            "(s_client: wrong signature type); our client says"),
            ("client", "cert rsapss"): Seen("The security parameter is invalid", "the same mistake the other way round; it refuses s_server in the same words"),
            **cannot_have_certificates("mldsa65")}

    def suite(self, name):
        return SUITES[name]

    def prepare(self, lab):
        self.program = lab.compile_peer("wolfssl.c", "wolfssl", PACKAGES)

    def command(self, lab):
        return self.program

    def version(self, lab):
        code, text = lab.run("pkg-config", "--modversion", "wolfssl")
        if code != 0:
            raise Absent("wolfSSL is not installed: apt-get install " + PACKAGES)
        return "wolfSSL " + text.strip()
