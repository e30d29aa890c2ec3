"""rustls with ring, of Debian 13: our own few lines, peers/rustls."""

from interop.peer import ProgramPeer
from interop.run import Doc, Seen, cannot_have_certificates, cannot_have_ml_kem

NO_GROUP = Seen("ALL_KX_GROUPS has no", "with ring, not aws-lc")


class Rustls(ProgramPeer):
    key, name = "rustls", "rustls"
    says = {"external PSK": Doc("docs.rs/rustls: neither ClientConfig nor ServerConfig has a field for an external pre-shared key"),
            "secp521r1": NO_GROUP, "x448": NO_GROUP, **cannot_have_ml_kem(NO_GROUP),
            **cannot_have_certificates("p521", "rsapss", "ed448", "mldsa65")}
    ech = (("client", "accept"), ("client", "retry"))
    no_ech = "docs.rs/rustls: ServerConfig has no Encrypted Client Hello; the client has, with the HPKE of a provider: peers/rustls has one over ring"

    def command(self, lab):
        return lab.trixie_peer("rustls")

    def version(self, lab):
        self.command(lab)
        return "rustls " + lab.trixie_version("librust-rustls-dev")
