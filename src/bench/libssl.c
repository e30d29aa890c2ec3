/* bench/libssl.c: libssl in memory BIOs. See rival.h. Layer: bench; the only file of the project that uses
 * libssl. */
#include <openssl/ssl.h>

#include "base/mem.h"
#include "bench/ends.h"
#include "bench/report.h"
#include "bench/rival.h"

struct ssl_ends {
    SSL_CTX *client, *server;
    SSL_SESSION *session; /* the client's, of a ticket */
    bool ech;
};

struct ssl_pair {
    SSL *client, *server;
};

static const char *suite_name(uint16_t suite)
{
    return suite == TT_SUITE_CHACHA20_POLY1305_SHA256 ? "TLS_CHACHA20_POLY1305_SHA256"
                                                      : "TLS_AES_128_GCM_SHA256";
}

static SSL_CTX *ssl_end(const SSL_METHOD *method, const struct identity *own, X509 *ca, uint16_t suite,
                        const char *group)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    bool ok = ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_ciphersuites(ctx, suite_name(suite)) == 1 &&
              SSL_CTX_set1_groups_list(ctx, group) == 1 && SSL_CTX_use_certificate(ctx, own->cert) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, own->pkey) == 1 &&
              X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1;
    if (!ok)
        die("libssl's configuration");
    /* Tickets only when they are asked for, and nothing kept on the server. */
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"bench", 5);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

static void ssl_step(SSL *ssl)
{
    int rc = SSL_do_handshake(ssl);
    if (rc != 1 && SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ)
        die("libssl's handshake");
}

#ifdef SSL_ECH_STATUS_SUCCESS
static bool ech_is_accepted(SSL *ssl)
{
    char *inner = NULL, *outer = NULL;
    bool accepted = SSL_ech_get1_status(ssl, &inner, &outer) == SSL_ECH_STATUS_SUCCESS;
    OPENSSL_free(inner);
    OPENSSL_free(outer);
    return accepted;
}

static void ech_set(SSL_CTX *ctx, struct tt_bytes pem)
{
    OSSL_ECHSTORE *store = OSSL_ECHSTORE_new(NULL, NULL);
    BIO *in = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (store == NULL || OSSL_ECHSTORE_read_pem(store, in, OSSL_ECH_FOR_RETRY) != 1 ||
        SSL_CTX_set1_echstore(ctx, store) != 1)
        die("libssl's ECH");
    BIO_free(in);
    OSSL_ECHSTORE_free(store);
}
#else
static bool ech_is_accepted(SSL *ssl)
{
    (void)ssl;
    return false;
}
#endif

static void *ssl_pair_connect(void *ends, bool resumed, void (*turn)(int end))
{
    struct ssl_ends *e = ends;
    struct ssl_pair *p = mem_alloc(sizeof *p);
    BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());
    if (p == NULL || to_server == NULL || to_client == NULL)
        die("memory");
    turn(0);
    p->client = SSL_new(e->client);
    turn(1);
    p->server = SSL_new(e->server);
    SSL_set_mode(p->client, SSL_MODE_RELEASE_BUFFERS);
    SSL_set_mode(p->server, SSL_MODE_RELEASE_BUFFERS);
    BIO_up_ref(to_server);
    BIO_up_ref(to_client);
    SSL_set_bio(p->client, to_client, to_server);
    SSL_set_bio(p->server, to_server, to_client);
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
    if (X509_VERIFY_PARAM_set1_host(SSL_get0_param(p->client), "localhost", 0) != 1 ||
        SSL_set_tlsext_host_name(p->client, "localhost") != 1 ||
        (resumed && SSL_set_session(p->client, e->session) != 1))
        die("a libssl connection");
    for (int rounds = 0; rounds < 10 && (SSL_in_init(p->client) || SSL_in_init(p->server)); rounds++) {
        turn(0);
        ssl_step(p->client);
        turn(1);
        ssl_step(p->server);
    }
    if (SSL_in_init(p->client) || SSL_in_init(p->server) || SSL_session_reused(p->client) != resumed ||
        (e->ech && !ech_is_accepted(p->client)))
        die("libssl's ends are not connected");
    return p;
}

static void ssl_pair_free(void *pair)
{
    struct ssl_pair *p = pair;
    /* Freed without it, libssl makes its session one that is not resumed again. */
    SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(p->client);
    SSL_free(p->server);
    mem_free(p);
}

/* One ticket, by a connection of its own. */
static void ssl_session_get(struct ssl_ends *e)
{
    struct ssl_pair *p = ssl_pair_connect(e, false, no_turn);
    char nothing;
    if (SSL_new_session_ticket(p->server) != 1 || SSL_do_handshake(p->server) != 1)
        die("libssl sends no ticket");
    (void)SSL_read(p->client, &nothing, 1); /* takes the ticket in, finds no data */
    e->session = SSL_get1_session(p->client);
    if (e->session == NULL || SSL_SESSION_is_resumable(e->session) != 1)
        die("libssl's ticket does not come");
    ssl_pair_free(p);
}

static void *ssl_ends_with(const struct identities *ids, uint16_t suite, const char *group)
{
    struct ssl_ends *e = mem_alloc(sizeof *e);
    if (e == NULL)
        die("memory");
    e->client = ssl_end(TLS_client_method(), &ids->client, ids->ca.cert, suite, group);
    e->server = ssl_end(TLS_server_method(), &ids->server, ids->ca.cert, suite, group);
    ssl_session_get(e);
    return e;
}

static void *ssl_ends_make(const struct identities *ids, uint16_t suite)
{
    return ssl_ends_with(ids, suite, "X25519");
}

static void *ssl_ends_make_hybrid(const struct identities *ids, uint16_t suite)
{
    return ssl_ends_with(ids, suite, "X25519MLKEM768");
}

#ifdef SSL_ECH_STATUS_SUCCESS
static void *ssl_ends_make_ech(const struct identities *ids, uint16_t suite, struct tt_bytes pem)
{
    struct ssl_ends *e = ssl_ends_with(ids, suite, "X25519");
    ech_set(e->client, pem);
    ech_set(e->server, pem);
    e->ech = true;
    return e;
}
#endif

static void ssl_ends_free(void *ends)
{
    struct ssl_ends *e = ends;
    SSL_SESSION_free(e->session);
    SSL_CTX_free(e->client);
    SSL_CTX_free(e->server);
    mem_free(e);
}

static void ssl_pair_send(void *pair, const void *data, size_t n, size_t times, void *scratch)
{
    struct ssl_pair *p = pair;
    size_t done = 0;
    for (size_t i = 0; i < times; i++)
        if (SSL_write_ex(p->client, data, n, &done) != 1 || done != n)
            die("libssl does not write");
    for (size_t got = 0; got < n * times; got += done)
        if (SSL_read_ex(p->server, scratch, n, &done) != 1)
            die("libssl does not read");
}

const struct rival rival_libssl = {.key = "libssl",
                                   .name = "libssl",
                                   .ends_make = ssl_ends_make,
                                   .ends_make_hybrid = ssl_ends_make_hybrid,
#ifdef SSL_ECH_STATUS_SUCCESS
                                   .ends_make_ech = ssl_ends_make_ech,
#endif
                                   .ends_free = ssl_ends_free,
                                   .pair_connect = ssl_pair_connect,
                                   .pair_free = ssl_pair_free,
                                   .pair_send = ssl_pair_send};
