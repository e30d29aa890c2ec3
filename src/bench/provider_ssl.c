/* bench/provider_ssl.c: libssl with a server's key in the TPM, through tpm2-openssl. Layer: bench. */
#include "base/mem.h"
#include "bench/provider.h"
#include "bench/report.h"

#ifdef BENCH_LIBSSL
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/store.h>

/* What tpm2-openssl is asked for: keys, but no hashes and ciphers. */
#define TPM2_PROPERTIES "?provider=tpm2,tpm2.digest!=yes,tpm2.cipher!=yes"

struct provider_ends {
    SSL_CTX *client, *server;
    OSSL_LIB_CTX *lib; /* with the provider, or NULL */
    EVP_PKEY *key;     /* of it */
    X509 *cert;
};

struct provider_pair {
    SSL *client, *server;
};

static SSL_CTX *ssl_end(SSL_CTX *ctx, const struct identity *own, X509 *ca, const char *suite)
{
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

static EVP_PKEY *provider_key(OSSL_LIB_CTX *lib, const char *uri)
{
    EVP_PKEY *key = NULL;
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, lib, TPM2_PROPERTIES, NULL, NULL, NULL, NULL, NULL);
    while (store != NULL && key == NULL && OSSL_STORE_eof(store) == 0) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

struct provider_ends *provider_ends_make(const struct identities *ids, const char *suite, const char *uri)
{
    struct provider_ends *e = mem_alloc(sizeof *e);
    if (e == NULL)
        die("memory");
    e->lib = OSSL_LIB_CTX_new();
    /* The default one first, or the TPM becomes the source of all random numbers. */
    if (OSSL_PROVIDER_load(e->lib, "default") == NULL || OSSL_PROVIDER_load(e->lib, "tpm2") == NULL ||
        (e->key = provider_key(e->lib, uri)) == NULL) {
        provider_ends_free(e);
        return NULL;
    }
    struct tt_bytes spki = tt_key_spki(ids->client.key);
    const uint8_t *at = spki.data;
    EVP_PKEY *public = d2i_PUBKEY(NULL, &at, (long)spki.len);
    e->cert = public == NULL ? NULL : identity_certify(&ids->ca, public, "serverAuth", "DNS:localhost");
    EVP_PKEY_free(public);
    const struct identity server = {.pkey = e->key, .cert = e->cert};
    e->client = ssl_end(SSL_CTX_new(TLS_client_method()), &ids->client, ids->ca.cert, suite);
    e->server =
        ssl_end(SSL_CTX_new_ex(e->lib, TPM2_PROPERTIES, TLS_server_method()), &server, ids->ca.cert, suite);
    SSL_CTX_set_verify(e->server, SSL_VERIFY_NONE, NULL);
    return e;
}

void provider_ends_free(struct provider_ends *e)
{
    if (e == NULL)
        return;
    SSL_CTX_free(e->client);
    SSL_CTX_free(e->server);
    EVP_PKEY_free(e->key);
    X509_free(e->cert);
    OSSL_LIB_CTX_free(e->lib);
    mem_free(e);
}

struct provider_pair *provider_connect(struct provider_ends *e)
{
    struct provider_pair *p = mem_alloc(sizeof *p);
    BIO *to_server = BIO_new(BIO_s_mem()), *to_client = BIO_new(BIO_s_mem());
    if (p == NULL || to_server == NULL || to_client == NULL)
        die("memory");
    p->client = SSL_new(e->client);
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
        SSL_set_tlsext_host_name(p->client, "localhost") != 1)
        die("libssl's host name");
    for (int rounds = 0; rounds < 10 && (SSL_in_init(p->client) || SSL_in_init(p->server)); rounds++) {
        (void)SSL_do_handshake(p->client);
        (void)SSL_do_handshake(p->server);
    }
    if (SSL_in_init(p->client) || SSL_in_init(p->server))
        die("libssl's ends are not connected");
    return p;
}

void provider_pair_free(struct provider_pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    mem_free(p);
}

#else

struct provider_ends *provider_ends_make(const struct identities *ids, const char *suite, const char *uri)
{
    (void)ids;
    (void)suite;
    (void)uri;
    return NULL;
}

void provider_ends_free(struct provider_ends *e)
{
    (void)e;
}

struct provider_pair *provider_connect(struct provider_ends *e)
{
    (void)e;
    return NULL;
}

void provider_pair_free(struct provider_pair *p)
{
    (void)p;
}
#endif
