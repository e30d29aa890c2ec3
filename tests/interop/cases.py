"""tests/interop/cases.py: the columns of the matrix: what each cell asks for, and what must be true afterwards."""

from dataclasses import dataclass, field

SUITES = {"aes128": "TLS_AES_128_GCM_SHA256", "aes256": "TLS_AES_256_GCM_SHA384", "chacha20": "TLS_CHACHA20_POLY1305_SHA256"}
ML_KEM = ("X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "MLKEM1024")
GROUPS = ("x25519", "secp256r1", "secp384r1", "secp521r1", "x448") + ML_KEM
CERTS = {"p256": "ecdsa_secp256r1_sha256", "p384": "ecdsa_secp384r1_sha384", "p521": "ecdsa_secp521r1_sha512",
         "rsa2048": "rsa_pss_rsae_", "rsapss": "rsa_pss_pss_", "ed25519": "ed25519", "ed448": "ed448", "mldsa65": "mldsa65"}
PSK = ("interop", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")


@dataclass
class Case:
    """One column. role is the peer's: "server" is our client against their server."""
    feature: str
    role: str = "server"
    cert: str = "p256"
    client_cert: bool = False
    retry: bool = False
    resume: bool = False
    early: bool = False
    psk: bool = False
    key_update: bool = False
    ech: str = None    # "accept"; "retry": the client has the config of another key, and the server tells it the right one
    suite: str = None
    group: str = None
    data: str = "small"
    tpm: bool = False  # the real program with a key in a TPM, instead of tt_peer
    http: bool = field(default=False)  # the peer speaks HTTP only; set by the peer

    @property
    def is_pq(self):
        """Our end needs libcrypto 3.5 for it."""
        return (self.group is not None and "MLKEM" in self.group) or self.cert.startswith("mldsa")


def columns():
    """(title, keyword arguments of Case), in the order of the table."""
    out = [("full", {"tpm": True}), ("client certificate", {"client_cert": True, "tpm": True}), ("HRR", {"retry": True}),
           ("resumption", {"resume": True}), ("0-RTT", {"resume": True, "early": True}), ("external PSK", {"psk": True}),
           ("KeyUpdate", {"key_update": True}), ("1 MB each way", {"data": "big"})]
    out += [(name, {"suite": suite}) for name, suite in SUITES.items()]
    out += [(group, {"group": group}) for group in GROUPS]
    out += [("cert " + kind, {"cert": kind}) for kind in CERTS]
    out += [("ECH", {"ech": "accept", "tpm": True}), ("ECH retry", {"ech": "retry", "tpm": True})]
    return out


def problems(case, facts):
    """What is wrong with what our end saw (a list of dicts, one a connection)."""
    wanted = 2 if case.resume else 1
    if len(facts) < wanted:
        return "our end saw %d connections instead of %d" % (len(facts), wanted)
    bad = [f["error"] or "not ok" for f in facts[:wanted] if not f["ok"]]
    if bad:
        return bad[0]
    last = facts[wanted - 1]
    checks = [
        (case.role == "server" and not case.http and not case.early and not last["exact"], "the echo is not what was sent"),
        (case.role == "client" and last["received"] == 0, "nothing was received"),
        (case.data == "big" and last["received"] < 1 << 20, "%d bytes arrived instead of 1 MB" % last["received"]),
        (case.retry and not last["hello_retry_request"], "there was no HelloRetryRequest"),
        (case.resume and (facts[0]["resumed"] or not last["resumed"]), "the second connection was not resumed"),
        (case.early and last["early"] != "accepted", "0-RTT was " + last["early"]),
        (case.early and case.role == "client" and last["early_bytes"] == 0, "no 0-RTT data came"),
        (case.ech and last["ech"] != "accepted", "Encrypted Client Hello was %s" % last.get("ech")),
        (case.ech == "retry" and not last["ech_retried"], "nobody was told another config"),
        (case.psk and (not last["resumed"] or last["peer_chain"] > 0), "the PSK was not used"),
        (case.key_update and last["key_updates"] == 0, "the peer answered with no KeyUpdate"),
        (case.suite and last["suite"] != case.suite, "the suite is " + last["suite"]),
        (case.group and last["group"].lower() != case.group.lower(), "the group is " + last["group"]),
        (case.client_cert and case.role == "client" and last["peer_chain"] == 0, "no client certificate came"),
        (case.client_cert and case.role == "server" and last["local_scheme"] == "", "no client certificate was asked for"),
        (not case.psk and not case.resume and not (last["scheme"] if case.role == "server" else last["local_scheme"]).startswith(
            CERTS[case.cert]), "the server signed with '%s'" % (last["scheme"] if case.role == "server" else last["local_scheme"])),
    ]
    return next((text for wrong, text in checks if wrong), None)
