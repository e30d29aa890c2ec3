/* bench/ssl.c: see ssl.h. Layer: bench; the only file of the project that uses libssl. */
#include "bench/ssl.h"

#include "base/mem.h"
#include "bench/report.h"

#ifdef BENCH_LIBSSL
#include <openssl/ssl.h>

struct ssl_ends {
    SSL_CTX *client, *server;
};

struct ssl_pair {
    SSL *client, *server;
};

static SSL_CTX *ssl_end(const SSL_METHOD *method, const struct identity *own, X509 *ca, const char *suite)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    bool ok = ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_ciphersuites(ctx, suite) == 1 && SSL_CTX_set1_groups_list(ctx, "X25519") == 1 &&
              SSL_CTX_use_certificate(ctx, own->cert) == 1 && SSL_CTX_use_PrivateKey(ctx, own->pkey) == 1 &&
              X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1;
    if (!ok)
        die("libssl's configuration");
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

struct ssl_ends *ssl_ends_make(const struct identities *ids, const char *suite)
{
    struct ssl_ends *e = mem_alloc(sizeof *e);
    if (e == NULL)
        die("memory");
    e->client = ssl_end(TLS_client_method(), &ids->client, ids->ca.cert, suite);
    e->server = ssl_end(TLS_server_method(), &ids->server, ids->ca.cert, suite);
    return e;
}

void ssl_ends_free(struct ssl_ends *e)
{
    if (e == NULL)
        return;
    SSL_CTX_free(e->client);
    SSL_CTX_free(e->server);
    mem_free(e);
}

struct ssl_pair *ssl_pair_connect(struct ssl_ends *e, void (*turn)(int end))
{
    struct ssl_pair *p = mem_alloc(sizeof *p);
    BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());
    if (p == NULL || to_server == NULL || to_client == NULL)
        die("memory");
    if (turn != NULL)
        turn(0);
    p->client = SSL_new(e->client);
    if (turn != NULL)
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
    if (SSL_set1_host(p->client, "localhost") != 1 || SSL_set_tlsext_host_name(p->client, "localhost") != 1)
        die("libssl's host name");
    for (int rounds = 0; rounds < 10 && (SSL_in_init(p->client) || SSL_in_init(p->server)); rounds++) {
        if (turn != NULL)
            turn(0);
        (void)SSL_do_handshake(p->client);
        if (turn != NULL)
            turn(1);
        (void)SSL_do_handshake(p->server);
    }
    if (SSL_in_init(p->client) || SSL_in_init(p->server))
        die("libssl's ends are not connected");
    return p;
}

void ssl_pair_free(struct ssl_pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    mem_free(p);
}

void ssl_pair_send(struct ssl_pair *p, const void *data, size_t n, void *scratch)
{
    size_t done = 0;
    if (SSL_write_ex(p->client, data, n, &done) != 1 || done != n)
        die("libssl does not write");
    for (size_t got = 0; got < n; got += done)
        if (SSL_read_ex(p->server, scratch, n, &done) != 1)
            die("libssl does not read");
}

#else

struct ssl_ends *ssl_ends_make(const struct identities *ids, const char *suite)
{
    (void)ids;
    (void)suite;
    return NULL;
}

void ssl_ends_free(struct ssl_ends *e)
{
    (void)e;
}

struct ssl_pair *ssl_pair_connect(struct ssl_ends *e, void (*turn)(int end))
{
    (void)e;
    (void)turn;
    return NULL;
}

void ssl_pair_free(struct ssl_pair *p)
{
    (void)p;
}

void ssl_pair_send(struct ssl_pair *p, const void *data, size_t n, void *scratch)
{
    (void)p;
    (void)data;
    (void)n;
    (void)scratch;
}
#endif
