/* gauge/ends.c: see ends.h. Layer: gauge. The handshake has mutual authentication, X25519 and AES-128-GCM; no
 * socket is between the ends, so that what is measured is theirs. */
#include "gauge/ends.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>
#include <time.h>

#include "gauge/series.h"
#include "pki/cert_build.h"
#include "pki/dn.h"
#include "pki/san.h"
#include "wire/pem.h"

#define DAY        86400
#define MAX_ROUNDS 100 /* of bytes to and fro: a handshake needs five */

/* ---- keys and certificates ---- */

tt_rc software_key(struct tt_key **ret, enum tt_key_type type, struct tt_error *err)
{
    TT_AUTO(EVP_PKEY_free_auto)
    EVP_PKEY *key = type == TT_KEY_RSA2048 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    PKCS8_PRIV_KEY_INFO *info = key == NULL ? NULL : EVP_PKEY2PKCS8(key);
    uint8_t *der = NULL;
    int len = info == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (len <= 0)
        return error_set(err, TT_ERR_INTERNAL, "libcrypto could not make a key");
    TT_AUTO(buf_free) struct buf pem = {0};
    tt_rc rc = pem_write(&pem, "PRIVATE KEY", (struct tt_bytes){der, (size_t)len});
    OPENSSL_clear_free(der, (size_t)len);
    return rc == TT_OK ? tt_key_open_software(ret, buf_bytes(&pem), NULL, err)
                       : error_set(err, rc, "out of memory");
}

static tt_rc sign_with(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                       size_t *ret_len, struct tt_error *err)
{
    return tt_key_sign(arg, scheme, message, ret_sig, cap, ret_len, err);
}

/* struct leaf: NULL as dns: a client. */
struct leaf {
    struct tt_key *key;
    const char *name, *dns;
    bool ca;
    struct tt_bytes issuer; /* of a leaf: the CA's certificate */
};

static tt_rc leaf_extensions(struct buf *ret, const struct leaf *l, struct tt_error *err)
{
    TT_AUTO(GENERAL_NAMES_free_auto) GENERAL_NAMES *sans = NULL;
    if (l->ca)
        return extensions_ca(ret, tt_key_spki(l->key), err);
    TT_AUTO(X509_free_auto) X509 *issuer = cert_read(l->issuer);
    if (issuer == NULL)
        return error_set(err, TT_ERR_INTERNAL, "libcrypto could not read the CA's certificate");
    TT_TRY(san_parse(&sans, &l->dns, l->dns != NULL ? 1 : 0, err));
    TT_AUTO(ossl_free_auto) uint8_t *names = NULL;
    int names_len = sans == NULL ? 0 : i2d_GENERAL_NAMES(sans, &names);
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);
    if (names_len < 0 || id == NULL)
        return error_set(err, TT_ERR_INTERNAL, "libcrypto could not encode the names");
    const struct leaf_plan plan = {
        .spki = tt_key_spki(l->key),
        .names = {names, names_len > 0 ? (size_t)names_len : 0},
        .client = l->dns == NULL,
        .server = l->dns != NULL,
        .issuer_key_id = {ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id)}};
    return extensions_leaf(ret, &plan, err);
}

static tt_rc certify(struct tt_bytes *ret, struct tt_key *ca, const struct leaf *l, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf exts = {0};
    TT_AUTO(X509_NAME_free_auto) X509_NAME *issuer = NULL;
    TT_AUTO(X509_NAME_free_auto) X509_NAME *subject = NULL;
    TT_AUTO(buf_free) struct buf der = {0};
    uint8_t serial[SERIAL_SIZE];
    TT_TRY(leaf_extensions(&exts, l, err));
    TT_TRY(dn_parse(&issuer, "/CN=tpmtls bench CA", err));
    TT_TRY(dn_parse(&subject, l->name, err));
    TT_TRY(cert_serial(serial, err));
    const struct cert_plan plan = {.serial = serial,
                                   .issuer = issuer,
                                   .subject = subject,
                                   .not_before = time(NULL) - DAY,
                                   .not_after = time(NULL) + DAY,
                                   .spki = tt_key_spki(l->key),
                                   .extensions = buf_bytes(&exts)};
    const struct tt_pki_signer signer = {
        .sign = sign_with, .arg = ca, .spki = tt_key_spki(ca), .scheme = tt_key_x509_scheme(ca)};
    TT_TRY(cert_build(&der, &plan, &signer, err));
    uint8_t *copy = mem_dup(buf_front(&der), buf_size(&der));
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = (struct tt_bytes){copy, buf_size(&der)};
    return TT_OK;
}

void certificate_free(struct tt_bytes *der)
{
    mem_free((void *)(uintptr_t)der->data);
    *der = (struct tt_bytes){NULL, 0};
}

/* ---- configurations ---- */

static tt_rc add_identity(struct tt_config *cfg, struct tt_key *key, struct tt_bytes cert,
                          struct tt_error *err)
{
    uint16_t scheme = 0;
    if (tt_key_schemes(key, &scheme, 1) == 0)
        return error_set(err, TT_ERR_UNSUPPORTED, "the key has no scheme of TLS 1.3");
    const struct tt_identity id = {
        .chain = &cert, .chain_len = 1, .key = key, .schemes = &scheme, .schemes_len = 1};
    return tt_config_add_identity(cfg, &id, err);
}

static tt_rc set_common(struct tt_config *cfg, const struct world *w, struct tt_error *err)
{
    static const uint16_t suite = TT_SUITE_AES_128_GCM_SHA256, group = TT_GROUP_X25519;
    tt_rc rc = tt_config_set_trust(cfg, w->trust);
    if (rc == TT_OK)
        rc = tt_config_set_suites(cfg, &suite, 1);
    if (rc == TT_OK)
        rc = tt_config_set_groups(cfg, &group, 1);
    return rc == TT_OK ? rc : error_set(err, rc, "cannot configure the handshakes");
}

static tt_rc server_config(struct world *w, struct tt_error *err)
{
    TT_TRY(tt_config_new(&w->server_cfg, TT_SERVER, err));
    TT_TRY(set_common(w->server_cfg, w, err));
    TT_TRY(add_identity(w->server_cfg, w->server, w->server_cert, err));
    TT_TRY(tt_config_set_client_auth(w->server_cfg, TT_CLIENT_AUTH_REQUIRE));
    TT_TRY(tt_tickets_new(&w->tickets, (int64_t)time(NULL) * 1000, err));
    struct tt_ticket_key key = {.name = "bench"};
    TT_TRY(tt_tickets_set_keys(w->tickets, &key, 1)); /* they open nothing but this process' connections */
    TT_TRY(tt_config_set_tickets(w->server_cfg, w->tickets, 1, 3600, (struct tt_bytes){NULL, 0}));
    return tt_config_freeze(w->server_cfg, err);
}

tt_rc client_certify(struct tt_bytes *ret, const struct world *w, struct tt_key *key, struct tt_error *err)
{
    return certify(ret, w->ca, &(struct leaf){.key = key, .name = "/CN=client", .issuer = w->ca_cert}, err);
}

tt_rc client_make(struct tt_config **ret, const struct world *w, struct tt_key *key, struct tt_bytes cert,
                  struct tt_error *err)
{
    struct tt_config *cfg = NULL;
    tt_rc rc = tt_config_new(&cfg, TT_CLIENT, err);
    if (rc == TT_OK)
        rc = set_common(cfg, w, err);
    if (rc == TT_OK)
        rc = add_identity(cfg, key, cert, err);
    if (rc == TT_OK)
        rc = tt_config_freeze(cfg, err);
    if (rc != TT_OK) {
        tt_config_free(cfg);
        return rc;
    }
    *ret = cfg;
    return TT_OK;
}

static tt_rc world_fill(struct world *w, struct tt_error *err)
{
    TT_TRY(software_key(&w->ca, TT_KEY_P256, err));
    TT_TRY(software_key(&w->server, TT_KEY_P256, err));
    TT_TRY(certify(&w->ca_cert, w->ca,
                   &(struct leaf){.key = w->ca, .name = "/CN=tpmtls bench CA", .ca = true}, err));
    const struct leaf server = {
        .key = w->server, .name = "/CN=localhost", .dns = "DNS:localhost", .issuer = w->ca_cert};
    TT_TRY(certify(&w->server_cert, w->ca, &server, err));
    TT_TRY(tt_trust_new(&w->trust, err));
    TT_TRY(tt_trust_add_der(w->trust, w->ca_cert, err));
    TT_TRY(peer_new(&w->peer, err));
    return server_config(w, err);
}

tt_rc world_make(struct world *ret, struct tt_error *err)
{
    *ret = (struct world){0};
    tt_rc rc = world_fill(ret, err);
    if (rc != TT_OK)
        world_free(ret);
    return rc;
}

void world_free(struct world *w)
{
    peer_free(w->peer);
    tt_config_free(w->server_cfg);
    tt_tickets_free(w->tickets);
    tt_trust_free(w->trust);
    certificate_free(&w->ca_cert);
    certificate_free(&w->server_cert);
    tt_key_free(w->server);
    tt_key_free(w->ca);
    *w = (struct world){0};
}

/* ---- one handshake ---- */

static void pause_before(struct handshake *h)
{
    if (h->pause_us <= 0)
        return;
    double start = now_us();
    long ns = (long)(h->pause_us * 1e3);
    (void)nanosleep(&(struct timespec){ns / 1000000000, ns % 1000000000}, NULL);
    h->paused_us += now_us() - start;
}

/* struct signature: of the length that fits the longest key. */
struct signature {
    uint8_t bytes[1024];
    size_t len;
    uint64_t id;
};

static tt_rc sign(struct signature *ret, const struct tt_conn *c, struct tt_error *err)
{
    struct tt_sign_request req;
    TT_TRY(tt_conn_sign_request(c, &req));
    ret->id = req.id;
    return tt_key_sign(req.key, req.scheme, req.to_sign, ret->bytes, sizeof ret->bytes, &ret->len, err);
}

static tt_rc complete(struct tt_conn *c, const struct signature *s)
{
    return tt_conn_sign_complete(c, s->id, (struct tt_bytes){s->bytes, s->len});
}

static tt_rc answer_sign(struct tt_conn *c, struct tt_error *err)
{
    struct signature s;
    TT_TRY(sign(&s, c, err));
    return complete(c, &s);
}

static bool wants_sign(const struct tt_conn *c)
{
    return (tt_conn_wants(c) & TT_WANT_SIGN) != 0;
}

static tt_rc refused(const struct tt_conn *c, struct tt_error *err)
{
    return error_set(err, TT_ERR_INTERNAL, "%s", tt_conn_error(c)->error.text);
}

/* What one end has to say, to the other. */
static tt_rc pass_on(struct tt_conn *from, struct tt_conn *to, struct tt_error *err)
{
    struct tt_bytes out = tt_conn_output(from);
    size_t used = 0;
    if (out.len > 0 && tt_conn_feed(to, out.data, out.len, &used) != TT_OK)
        return refused(to, err);
    tt_conn_output_done(from, used);
    return TT_OK;
}

/* The client's signature; meanwhile the server takes what the client has sent. */
static tt_rc answer_beside(struct handshake *h, struct peer *peer, struct tt_conn *client,
                           struct tt_conn *server, struct tt_error *err)
{
    struct signature s;
    size_t used = 0;
    peer_feed(peer, server, tt_conn_output(client));
    pause_before(h);
    tt_rc rc = sign(&s, client, err);
    tt_rc fed = peer_wait(peer, &used);
    TT_TRY(rc);
    if (fed != TT_OK)
        return refused(server, err);
    tt_conn_output_done(client, used);
    return complete(client, &s);
}

static bool is_over(const struct tt_conn *client, const struct tt_conn *server)
{
    return tt_conn_is_connected(client) && tt_conn_is_connected(server) && tt_conn_output(client).len == 0 &&
           tt_conn_output(server).len == 0;
}

static tt_rc pump(struct handshake *h, struct peer *peer, struct tt_conn *client, struct tt_conn *server,
                  struct tt_error *err)
{
    for (int i = 0; i < MAX_ROUNDS && !is_over(client, server); i++) {
        TT_TRY(pass_on(client, server, err));
        if (wants_sign(server))
            TT_TRY(answer_sign(server, err));
        TT_TRY(pass_on(server, client, err));
        if (wants_sign(client))
            TT_TRY(h->alone ? answer_sign(client, err) : answer_beside(h, peer, client, server, err));
    }
    return is_over(client, server) ? TT_OK : error_set(err, TT_ERR_INTERNAL, "the two ends do not connect");
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static tt_rc check_resumed(const struct tt_conn *client, bool wanted, struct tt_error *err)
{
    struct tt_conn_info info;
    tt_conn_info(client, &info);
    return info.resumed == wanted
               ? TT_OK
               : error_set(err, TT_ERR_INTERNAL, "the session was not taken up as it should be");
}

tt_rc handshake_run(struct handshake *h, const struct world *w, struct tt_error *err)
{
    const struct tt_conn_options from = {.server_name = "localhost",
                                         .now_ms = now_ms(),
                                         .sessions = &h->session,
                                         .sessions_len = h->session != NULL ? 1 : 0},
                                 to = {.now_ms = from.now_ms};
    struct tt_conn *c = NULL, *s = NULL;
    if (h->session == NULL)
        tt_trust_forget(w->trust);
    tt_rc rc = tt_conn_new(&c, h->client, &from, err);
    if (rc == TT_OK)
        rc = tt_conn_new(&s, w->server_cfg, &to, err);
    if (rc == TT_OK)
        rc = pump(h, w->peer, c, s, err);
    if (rc == TT_OK)
        rc = check_resumed(c, h->session != NULL, err);
    if (rc == TT_OK && h->take_session)
        h->taken = tt_conn_take_session(c);
    tt_conn_free(c);
    tt_conn_free(s);
    return rc;
}
