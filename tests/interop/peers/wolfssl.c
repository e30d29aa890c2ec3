/* tests/interop/peers/wolfssl.c: the end of the interop matrix on wolfSSL. */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "peer.h"

static struct peer_options o;

static void must(bool fine, const char *what)
{
    if (!fine)
        peer_die(what, "failed");
}

static void must_tls(WOLFSSL *ssl, int rc, const char *what)
{
    char text[WOLFSSL_MAX_ERROR_SZ];
    if (rc != WOLFSSL_SUCCESS)
        peer_die(what, wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(ssl, rc), text));
}

static int group_number(void)
{
    static const struct {
        const char *name;
        int number;
    } groups[] = {{"x25519", WOLFSSL_ECC_X25519},
                  {"secp256r1", WOLFSSL_ECC_SECP256R1},
                  {"secp384r1", WOLFSSL_ECC_SECP384R1},
                  {"secp521r1", WOLFSSL_ECC_SECP521R1},
                  {"x448", WOLFSSL_ECC_X448},
                  {"SecP256r1MLKEM768", 4587},
                  {"X25519MLKEM768", 4588},
                  {"SecP384r1MLKEM1024", 4589},
                  {"MLKEM1024", 514}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].name, o.group) == 0)
            return groups[i].number;
    return 0;
}

static unsigned client_psk(WOLFSSL *ssl, const char *hint, char *identity, unsigned identity_max,
                           unsigned char *key, unsigned key_max, const char **suite)
{
    (void)ssl, (void)hint, (void)key_max;
    (void)snprintf(identity, identity_max, "%s", o.psk_identity);
    memcpy(key, o.psk, o.psk_len);
    *suite = "TLS13-AES128-GCM-SHA256";
    return o.psk_len;
}

static unsigned server_psk(WOLFSSL *ssl, const char *identity, unsigned char *key, unsigned key_max,
                           const char **suite)
{
    (void)ssl, (void)key_max;
    if (strcmp(identity, o.psk_identity) != 0)
        return 0;
    memcpy(key, o.psk, o.psk_len);
    *suite = "TLS13-AES128-GCM-SHA256";
    return o.psk_len;
}

static WOLFSSL_CTX *configure(void)
{
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(o.server ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
    int group = o.group != NULL ? group_number() : 0;
    must(ctx != NULL, "wolfSSL_CTX_new");
    must(wolfSSL_CTX_load_verify_locations(ctx, o.ca, NULL) == WOLFSSL_SUCCESS,
         "wolfSSL_CTX_load_verify_locations");
    wolfSSL_CTX_set_verify(ctx,
                           !o.server || o.require_client_cert
                               ? WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT
                               : WOLFSSL_VERIFY_NONE,
                           NULL);
    if (o.cert != NULL) {
        must(wolfSSL_CTX_use_certificate_chain_file(ctx, o.cert) == WOLFSSL_SUCCESS,
             "wolfSSL_CTX_use_certificate_chain_file");
        must(wolfSSL_CTX_use_PrivateKey_file(ctx, o.key, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS,
             "wolfSSL_CTX_use_PrivateKey_file");
    }
    if (o.suite != NULL)
        must(wolfSSL_CTX_set_cipher_list(ctx, o.suite) == WOLFSSL_SUCCESS, "wolfSSL_CTX_set_cipher_list");
    if (o.group != NULL)
        must(wolfSSL_CTX_set_groups(ctx, &group, 1) == WOLFSSL_SUCCESS, "wolfSSL_CTX_set_groups");
    if (o.psk_len > 0 && o.server)
        wolfSSL_CTX_set_psk_server_tls13_callback(ctx, server_psk);
    else if (o.psk_len > 0)
        wolfSSL_CTX_set_psk_client_tls13_callback(ctx, client_psk);
    return ctx;
}

static int wolf_read(void *tls, unsigned char *buf, int cap)
{
    return wolfSSL_read(tls, buf, cap);
}

static int wolf_write(void *tls, const unsigned char *data, int len)
{
    return wolfSSL_write(tls, data, len);
}

static void serve(WOLFSSL_CTX *ctx)
{
    char text[WOLFSSL_MAX_ERROR_SZ];
    int listener = peer_listen(&o);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; (void)close(fd)) {
        WOLFSSL *ssl = wolfSSL_new(ctx);
        const struct peer_stream s = {ssl, wolf_read, wolf_write};
        wolfSSL_set_fd(ssl, fd);
        int rc = wolfSSL_accept(ssl);
        if (rc == WOLFSSL_SUCCESS)
            peer_echo(&s);
        else
            fprintf(stderr, "wolfSSL_accept: %s\n",
                    wolfSSL_ERR_error_string((unsigned long)wolfSSL_get_error(ssl, rc), text));
        (void)wolfSSL_shutdown(ssl);
        wolfSSL_free(ssl);
    }
}

static WOLFSSL_SESSION *talk(WOLFSSL_CTX *ctx, WOLFSSL_SESSION *session)
{
    WOLFSSL *ssl = wolfSSL_new(ctx);
    const struct peer_stream s = {ssl, wolf_read, wolf_write};
    int fd = peer_connect(&o);
    wolfSSL_set_fd(ssl, fd);
    must_tls(ssl, wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, "localhost", 9), "wolfSSL_UseSNI");
    must_tls(ssl, wolfSSL_check_domain_name(ssl, "localhost"), "wolfSSL_check_domain_name");
    if (o.group != NULL)
        must_tls(ssl, wolfSSL_UseKeyShare(ssl, (word16)group_number()), "wolfSSL_UseKeyShare");
    if (session != NULL)
        must_tls(ssl, wolfSSL_set_session(ssl, session), "wolfSSL_set_session");
    must_tls(ssl, wolfSSL_connect(ssl), "wolfSSL_connect");
    peer_talk(&s, &o);
    printf("%s %s resumed %d\n", wolfSSL_get_version(ssl), wolfSSL_get_cipher(ssl),
           wolfSSL_session_reused(ssl));
    session = wolfSSL_get1_session(ssl);
    (void)wolfSSL_shutdown(ssl);
    wolfSSL_free(ssl);
    (void)close(fd);
    return session;
}

int main(int argc, char **argv)
{
    peer_options(&o, argc, argv);
#ifndef WOLFSSL_EARLY_DATA
    if (o.early != NULL)
        peer_die("wolfssl/options.h", "WOLFSSL_EARLY_DATA is not defined");
#endif
    (void)wolfSSL_Init();
    WOLFSSL_CTX *ctx = configure();
    if (o.server)
        serve(ctx);
    WOLFSSL_SESSION *session = talk(ctx, NULL);
    if (o.resume)
        wolfSSL_SESSION_free(talk(ctx, session));
    wolfSSL_SESSION_free(session);
    wolfSSL_CTX_free(ctx);
    return 0;
}
