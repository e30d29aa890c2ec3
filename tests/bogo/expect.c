/* tests/bogo/expect.c: does what was negotiated match the -expect flags. */
#include <string.h>
#include <sys/auxv.h>

#include "crypto/hash.h"
#include "shim.h"
#include "wire/iana.h"

static bool same_text(struct tt_bytes is, const char *wanted)
{
    size_t n = wanted == NULL ? 0 : strlen(wanted);
    return is.len == n && (n == 0 || memcmp(is.data, wanted, n) == 0);
}

static bool fail(const char *what)
{
    shim_say("expectation not met: %s", what);
    return false;
}

static bool expect_number(const char *what, int64_t wanted, unsigned is)
{
    if (wanted == 0 || (unsigned)wanted == is)
        return true;
    shim_say("expectation not met: %s is 0x%04x, wanted 0x%04x", what, is, (unsigned)wanted);
    return false;
}

static bool expect_raw_key(const struct shim_link *l)
{
    uint8_t hash[32];
    const struct shim_blob *wanted = &l->o->expect_raw_key;
    struct tt_bytes spki = tt_conn_peer_certificate(l->conn, 0);
    struct crypto_lib *lib = NULL;
    if (!wanted->given)
        return true;
    bool same = wanted->len == sizeof hash && crypto_lib_new(&lib, NULL) == TT_OK &&
                hash_digest(lib, HASH_SHA256, spki, hash) == TT_OK &&
                memcmp(hash, wanted->data, sizeof hash) == 0;
    crypto_lib_free(lib);
    return same || fail("the peer's raw public key is another");
}

static bool expect_peer(const struct shim_link *l, const struct tt_conn_info *info)
{
    const struct shim_options *o = l->o;
    if (o->expect_no_peer_cert && info->peer_chain_len > 0)
        return fail("the peer sent a certificate");
    bool wanted = !o->expect_no_peer_cert && info->psk_identity.len == 0 &&
                  (!o->server || o->require_client_certificate);
    if (wanted && info->peer_chain_len == 0)
        return fail("the peer sent no certificate");
    if (o->expect_peer_type != INT64_MIN && info->peer_chain_len > 0 &&
        o->expect_peer_type != info->peer_certificate_type)
        return fail("the peer's certificate is of another type");
    if (!expect_raw_key(l))
        return false;
    if (o->expect_peer_cert_file == NULL)
        return true;
    struct shim_chain chain = {.n = 0};
    if (!shim_chain_read(&chain, o->expect_peer_cert_file))
        return false;
    bool same = chain.n == info->peer_chain_len;
    for (size_t i = 0; same && i < chain.n; i++) {
        struct tt_bytes is = tt_conn_peer_certificate(l->conn, i);
        same = is.len == chain.certs[i].len && memcmp(is.data, chain.certs[i].data, is.len) == 0;
    }
    shim_chain_free(&chain);
    return same || fail("the peer's certificates are others");
}

static bool has_aes(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes");
#else
    return (getauxval(AT_HWCAP) & (1UL << 3)) != 0;
#endif
}

static bool expect_numbers(const struct shim_link *l, const struct tt_conn_info *info)
{
    const struct shim_options *o = l->o;
    int64_t suite = has_aes() ? o->expect_cipher_aes : o->expect_cipher_no_aes;
    return expect_number("version", o->expect_version, TLS_VERSION_1_3) &&
           expect_number("group", o->expect_curve, info->group) &&
           (info->resumed || expect_number("peer's scheme", o->expect_peer_scheme, info->peer_scheme)) &&
           (!info->resumed ||
            expect_number("ticket age skew", o->expect_skew, (unsigned)(info->ticket_age_skew_ms / 1000))) &&
           expect_number("suite", o->expect_cipher, info->suite) &&
           expect_number("suite", suite, info->suite);
}

/* What the peer offered: all of it, in its order. */
static bool expect_offers(const struct shim_link *l)
{
    const struct shim_options *o = l->o;
    uint16_t schemes[SHIM_MAX_LIST];
    struct shim_names names = {.n = 0};
    size_t n = tt_conn_peer_schemes(l->conn, schemes, SHIM_MAX_LIST), at = 0;
    if (o->expect_verify_prefs.n > 0 &&
        (n != o->expect_verify_prefs.n ||
         memcmp(schemes, o->expect_verify_prefs.items, n * sizeof *schemes) != 0))
        return fail("the peer offers other signature schemes");
    if (o->expect_ca_list == NULL || o->expect_ca_list[0] == '<')
        return true;
    if (!shim_names_read(&names, o->expect_ca_list))
        return fail("the names of CAs cannot be read");
    for (; at < names.n; at++) {
        struct tt_bytes is = tt_conn_peer_authority(l->conn, at);
        if (is.len != names.names[at].len || memcmp(is.data, names.names[at].data, is.len) != 0)
            return fail("the peer names other CAs");
    }
    return tt_conn_peer_authority(l->conn, at).len == 0 || fail("the peer names more CAs");
}

static bool expect_names(const struct shim_link *l, const struct tt_conn_info *info)
{
    const struct shim_options *o = l->o;
    const char *alpn = !o->server ? o->expect_alpn : o->decline_alpn ? NULL : o->select_alpn;
    if (!same_text(info->alpn, alpn))
        return fail("ALPN");
    if (o->expect_advertised_alpn != NULL && alpn != NULL && strstr(o->expect_advertised_alpn, alpn) == NULL)
        return fail("the chosen protocol was not offered");
    if (o->expect_server_name != NULL && !same_text(info->server_name, o->expect_server_name))
        return fail("server_name");
    if (o->expect_no_server_name && info->server_name.len > 0)
        return fail("there is a server_name");
    return true;
}

/* The reasons that can be told from what the engine says of the connection, in the runner's words. */
static const char *early_reason(const struct shim_link *l, const struct tt_conn_info *info)
{
    enum tt_early early = tt_conn_early_status(l->conn);
    int64_t skew = info->ticket_age_skew_ms;
    if (early == TT_EARLY_ACCEPTED)
        return "accept";
    if (!l->o->enable_early_data)
        return "disabled";
    if (!l->o->server && !l->offered)
        return "no_session_offered";
    if (!l->o->server && early == TT_EARLY_NONE)
        return l->offered_early ? "alpn_mismatch" : "unsupported_for_session";
    if (l->o->server && !info->resumed && l->state->first)
        return "no_session_offered";
    if (l->o->server && !info->resumed)
        return "session_not_resumed";
    if (info->hello_retry_request)
        return "hello_retry_request";
    if (!info->resumed)
        return "session_not_resumed";
    if (l->o->server && !l->state->early_tickets)
        return "unsupported_for_session";
    if (skew > 10000 || skew < -10000)
        return "ticket_age_skew";
    return "peer_declined";
}

static bool expect_early(const struct shim_link *l, const struct tt_conn_info *info)
{
    const struct shim_options *o = l->o;
    enum tt_early early = tt_conn_early_status(l->conn);
    if (o->expect_accept_early && early != TT_EARLY_ACCEPTED)
        return fail("early data was not accepted");
    if (o->expect_reject_early && early == TT_EARLY_ACCEPTED)
        return fail("early data was accepted");
    if (o->expect_early_reason != NULL && strcmp(o->expect_early_reason, early_reason(l, info)) != 0) {
        shim_say("early data: %s, wanted %s", early_reason(l, info), o->expect_early_reason);
        return false;
    }
    return true;
}

/* A resumed handshake brings no certificate, so neither a signature nor what is stapled to it. */
static bool expect_blob(const char *what, const struct shim_blob *wanted, bool resumed, struct tt_bytes is)
{
    bool same =
        !wanted->given || resumed || (is.len == wanted->len && memcmp(is.data, wanted->data, is.len) == 0);
    return same || fail(what);
}

bool expect_handshake(const struct shim_link *l, bool resume)
{
    const struct shim_options *o = l->o;
    struct tt_conn_info info;
    tt_conn_info(l->conn, &info);
    if (!o->server && o->expect_no_offer_early && tt_conn_early_status(l->conn) != TT_EARLY_NONE && resume)
        return fail("early data was offered");
    if (!tt_conn_is_connected(l->conn))
        return true; /* in early data: the rest is looked at when the handshake is done */
    /* An external PSK counts as resumption with us; the runner looks itself which of the two it was. */
    if (info.psk_identity.len == 0 && info.resumed != (resume && !o->expect_session_miss))
        return fail(info.resumed ? "the session was resumed" : "the session was not resumed");
    if (o->expect_ech_accept && info.ech != TT_ECH_ACCEPTED)
        return fail("ECH was not accepted");
    if (o->expect_hrr && !info.hello_retry_request)
        return fail("no HelloRetryRequest");
    if (o->expect_no_hrr && info.hello_retry_request)
        return fail("a HelloRetryRequest");
    int selected = info.psk_identity.len > 0 ? shim_psk_number(l->keys, info.psk_identity) : l->signed_with;
    if (o->expect_selected_credential != INT64_MIN && o->expect_selected_credential != selected)
        return fail("another credential");
    return expect_numbers(l, &info) && expect_names(l, &info) && expect_offers(l) && expect_peer(l, &info) &&
           expect_blob("OCSP response", &o->expect_ocsp, info.resumed, tt_conn_peer_ocsp(l->conn)) &&
           expect_blob("SCT list", &o->expect_scts, info.resumed, tt_conn_peer_scts(l->conn)) &&
           expect_early(l, &info);
}

bool expect_end(const struct shim_link *l, bool resume, const struct tt_session *session)
{
    const struct shim_options *o = l->o;
    if (!expect_handshake(l, resume))
        return false;
    if (o->server)
        return true;
    bool wanted = !o->expect_no_session && !o->shim_shuts_down;
    if (wanted != (session != NULL))
        return fail(wanted ? "no session was received" : "a session was received");
    if (!wanted)
        return true;
    struct tt_session_info info;
    tt_session_info(session, &info);
    if ((info.max_early_data > 0) != o->expect_ticket_early_data)
        return fail("early data of the ticket");
    return true;
}
