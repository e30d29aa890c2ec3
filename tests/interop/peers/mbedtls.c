/* tests/interop/peers/mbedtls.c: the end of the interop matrix on Mbed TLS 3.6. */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <psa/crypto.h>

#include "peer.h"

static struct peer_options o;
static mbedtls_ssl_config conf;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_ssl_ticket_context tickets;
static mbedtls_ssl_session session;
static bool has_session;

static void must(int rc, const char *what)
{
    char text[200];
    if (rc == 0)
        return;
    mbedtls_strerror(rc, text, sizeof text);
    peer_die(what, text);
}

static uint16_t group_number(void)
{
    static const struct {
        const char *name;
        uint16_t number;
    } groups[] = {{"x25519", MBEDTLS_SSL_IANA_TLS_GROUP_X25519},
                  {"secp256r1", MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1},
                  {"secp384r1", MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1},
                  {"secp521r1", MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1},
                  {"x448", MBEDTLS_SSL_IANA_TLS_GROUP_X448},
                  {"SecP256r1MLKEM768", 4587},
                  {"X25519MLKEM768", 4588},
                  {"SecP384r1MLKEM1024", 4589},
                  {"MLKEM1024", 514}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].name, o.group) == 0)
            return groups[i].number;
    return 0;
}

static int suite_number(void)
{
    static const char *const names[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                        "TLS_CHACHA20_POLY1305_SHA256"};
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], o.suite) == 0)
            return MBEDTLS_TLS1_3_AES_128_GCM_SHA256 + i;
    return 0;
}

static void set_identity(void)
{
    static mbedtls_x509_crt chain;
    static mbedtls_pk_context key;
    mbedtls_x509_crt_init(&chain);
    mbedtls_pk_init(&key);
    must(mbedtls_x509_crt_parse_file(&chain, o.cert), "mbedtls_x509_crt_parse_file");
    must(mbedtls_pk_parse_keyfile(&key, o.key, NULL, mbedtls_ctr_drbg_random, &drbg),
         "mbedtls_pk_parse_keyfile");
    must(mbedtls_ssl_conf_own_cert(&conf, &chain, &key), "mbedtls_ssl_conf_own_cert");
}

static void set_resumption(void)
{
    mbedtls_ssl_session_init(&session);
    if (o.server) {
        mbedtls_ssl_ticket_init(&tickets);
        must(mbedtls_ssl_ticket_setup(&tickets, mbedtls_ctr_drbg_random, &drbg, MBEDTLS_CIPHER_AES_256_GCM,
                                      3600),
             "mbedtls_ssl_ticket_setup");
        mbedtls_ssl_conf_session_tickets_cb(&conf, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
                                            &tickets);
    } else {
        mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
            &conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    }
}

static void configure(void)
{
    static mbedtls_entropy_context entropy;
    static mbedtls_x509_crt ca;
    static uint16_t groups[2];
    static int suites[2];
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
    mbedtls_x509_crt_init(&ca);
    mbedtls_ssl_config_init(&conf);
    must(psa_crypto_init() == PSA_SUCCESS ? 0 : -1, "psa_crypto_init");
    must(mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0), "mbedtls_ctr_drbg_seed");
    must(mbedtls_ssl_config_defaults(&conf, o.server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                     MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
         "mbedtls_ssl_config_defaults");
    mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &drbg);
    mbedtls_ssl_conf_min_tls_version(&conf, MBEDTLS_SSL_VERSION_TLS1_3);
    must(mbedtls_x509_crt_parse_file(&ca, o.ca), "mbedtls_x509_crt_parse_file");
    mbedtls_ssl_conf_ca_chain(&conf, &ca, NULL);
    mbedtls_ssl_conf_authmode(&conf, !o.server || o.require_client_cert ? MBEDTLS_SSL_VERIFY_REQUIRED
                                                                        : MBEDTLS_SSL_VERIFY_NONE);
    if (o.cert != NULL)
        set_identity();
    if (o.group != NULL) {
        groups[0] = group_number();
        mbedtls_ssl_conf_groups(&conf, groups);
    }
    if (o.suite != NULL) {
        suites[0] = suite_number();
        mbedtls_ssl_conf_ciphersuites(&conf, suites);
    }
    if (o.psk_len > 0) {
        must(mbedtls_ssl_conf_psk(&conf, o.psk, o.psk_len, (const unsigned char *)o.psk_identity,
                                  strlen(o.psk_identity)),
             "mbedtls_ssl_conf_psk");
        mbedtls_ssl_conf_tls13_key_exchange_modes(&conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
    }
    if (o.resume)
        set_resumption();
}

/* A client reads tickets where it wants data, and is told to read again; the first one is kept. */
static int mbed_read(void *tls, unsigned char *buf, int cap)
{
    int n;
    while ((n = mbedtls_ssl_read(tls, buf, (size_t)cap)) == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET ||
           n == MBEDTLS_ERR_SSL_WANT_READ) {
        if (n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET && !has_session) {
            must(mbedtls_ssl_get_session(tls, &session), "mbedtls_ssl_get_session");
            has_session = true;
        }
    }
    if (n < 0 && n != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        fprintf(stderr, "mbedtls_ssl_read: %s\n", mbedtls_high_level_strerr(n));
    return n;
}

static int mbed_write(void *tls, const unsigned char *data, int len)
{
    return mbedtls_ssl_write(tls, data, (size_t)len);
}

static int shake(mbedtls_ssl_context *ssl, mbedtls_net_context *net)
{
    mbedtls_ssl_init(ssl);
    must(mbedtls_ssl_setup(ssl, &conf), "mbedtls_ssl_setup");
    mbedtls_ssl_set_bio(ssl, net, mbedtls_net_send, mbedtls_net_recv, NULL);
    if (!o.server)
        must(mbedtls_ssl_set_hostname(ssl, "localhost"), "mbedtls_ssl_set_hostname");
    if (!o.server && has_session)
        must(mbedtls_ssl_set_session(ssl, &session), "mbedtls_ssl_set_session");
    return mbedtls_ssl_handshake(ssl);
}

static void serve(void)
{
    char text[200];
    int listener = peer_listen(&o);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; (void)close(fd)) {
        mbedtls_ssl_context ssl;
        mbedtls_net_context net = {.fd = fd};
        const struct peer_stream s = {&ssl, mbed_read, mbed_write};
        int rc = shake(&ssl, &net);
        mbedtls_strerror(rc, text, sizeof text);
        if (rc == 0)
            peer_echo(&s);
        else
            fprintf(stderr, "mbedtls_ssl_handshake: %s\n", text);
        (void)mbedtls_ssl_close_notify(&ssl);
        mbedtls_ssl_free(&ssl);
    }
}

static void talk(void)
{
    mbedtls_ssl_context ssl;
    mbedtls_net_context net = {.fd = peer_connect(&o)};
    const struct peer_stream s = {&ssl, mbed_read, mbed_write};
    must(shake(&ssl, &net), "mbedtls_ssl_handshake");
    peer_talk(&s, &o);
    printf("%s %s\n", mbedtls_ssl_get_version(&ssl), mbedtls_ssl_get_ciphersuite(&ssl));
    (void)mbedtls_ssl_close_notify(&ssl);
    mbedtls_ssl_free(&ssl);
    (void)close(net.fd);
}

int main(int argc, char **argv)
{
    peer_options(&o, argc, argv);
#ifndef MBEDTLS_SSL_EARLY_DATA
    if (o.early != NULL)
        peer_die("mbedtls/mbedtls_config.h", "MBEDTLS_SSL_EARLY_DATA is not defined");
#endif
    configure();
    if (o.server)
        serve();
    talk();
    if (o.resume)
        talk();
    return 0;
}
