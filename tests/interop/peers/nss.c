/* tests/interop/peers/nss.c: a server on NSS that sends back what comes; selfserv answers HTTP only, and
 * reads no more than one buffer of a request. The certificate NAME.pem is the one of nickname NAME in the
 * database nss-NAME (see nss.py). */
#include <nspr.h>
#include <nss.h>
#include <pk11pub.h>
#include <ssl.h>
#include <sslexp.h>
#include <sslproto.h>

#include "peer.h"

static void must(SECStatus rv, const char *what)
{
    if (rv != SECSuccess)
        peer_die(what, PR_ErrorToName(PR_GetError()) != NULL ? PR_ErrorToName(PR_GetError()) : "failed");
}

static void set_groups(PRFileDesc *fd, const char *name)
{
    static const struct {
        const char *name;
        SSLNamedGroup group;
    } groups[] = {{"x25519", ssl_grp_ec_curve25519},
                  {"secp256r1", ssl_grp_ec_secp256r1},
                  {"secp384r1", ssl_grp_ec_secp384r1},
                  {"secp521r1", ssl_grp_ec_secp521r1},
                  {"x448", (SSLNamedGroup)30},
                  {"X25519MLKEM768", (SSLNamedGroup)4588},
                  {"SecP256r1MLKEM768", (SSLNamedGroup)4587},
                  {"SecP384r1MLKEM1024", (SSLNamedGroup)4589},
                  {"MLKEM1024", (SSLNamedGroup)514}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strcmp(groups[i].name, name) == 0)
            must(SSL_NamedGroupConfig(fd, &groups[i].group, 1), "SSL_NamedGroupConfig");
}

static void set_suite(PRFileDesc *fd, const char *name)
{
    static const char *const names[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                        "TLS_CHACHA20_POLY1305_SHA256"};
    for (PRInt32 i = 0; i < 3; i++)
        must(SSL_CipherPrefSet(fd, TLS_AES_128_GCM_SHA256 + i, strcmp(names[i], name) == 0),
             "SSL_CipherPrefSet");
}

static void set_psk(PRFileDesc *fd, struct peer_options *o)
{
    SECItem key = {siBuffer, o->psk, o->psk_len};
    PK11SlotInfo *slot = PK11_GetInternalSlot();
    PK11SymKey *psk = PK11_ImportSymKey(slot, CKM_HKDF_KEY_GEN, PK11_OriginUnwrap, CKA_DERIVE, &key, NULL);
    must(psk != NULL ? SECSuccess : SECFailure, "PK11_ImportSymKey");
    must(SSL_AddExternalPsk(fd, psk, (const PRUint8 *)o->psk_identity, (unsigned)strlen(o->psk_identity),
                            ssl_hash_sha256),
         "SSL_AddExternalPsk");
    PK11_FreeSymKey(psk);
    PK11_FreeSlot(slot);
}

/* The strike register refuses all 0-RTT data until one window has passed (RFC 9846 section 8.2). */
static void set_early(PRFileDesc *fd)
{
    SSLAntiReplayContext *ctx = NULL;
    must(SSL_CreateAntiReplayContext(PR_Now(), PR_USEC_PER_SEC, 7, 14, &ctx), "SSL_CreateAntiReplayContext");
    must(SSL_SetAntiReplayContext(fd, ctx), "SSL_SetAntiReplayContext");
    must(SSL_OptionSet(fd, SSL_ENABLE_0RTT_DATA, PR_TRUE), "SSL_ENABLE_0RTT_DATA");
}

static PRFileDesc *configure(struct peer_options *o)
{
    static const SSLVersionRange only13 = {SSL_LIBRARY_VERSION_TLS_1_3, SSL_LIBRARY_VERSION_TLS_1_3};
    static const SSLSignatureScheme pss[] = {ssl_sig_rsa_pss_pss_sha256};
    char database[256];
    char *nickname = strdup(o->cert);
    *strchrnul(nickname, '.') = '\0';
    (void)snprintf(database, sizeof database, "sql:nss-%s", nickname);
    must(NSS_Init(database), database);
    must(SSL_ConfigServerSessionIDCache(0, 0, 0, NULL), "SSL_ConfigServerSessionIDCache");
    PRFileDesc *fd = SSL_ImportFD(NULL, PR_NewTCPSocket());
    CERTCertificate *cert = PK11_FindCertFromNickname(nickname, NULL);
    SECKEYPrivateKey *key = cert != NULL ? PK11_FindKeyByAnyCert(cert, NULL) : NULL;
    must(key != NULL ? SECSuccess : SECFailure, nickname);
    must(SSL_OptionSet(fd, SSL_HANDSHAKE_AS_SERVER, PR_TRUE), "SSL_HANDSHAKE_AS_SERVER");
    must(SSL_OptionSet(fd, SSL_ENABLE_SESSION_TICKETS, o->resume), "SSL_ENABLE_SESSION_TICKETS");
    must(SSL_OptionSet(fd, SSL_REQUEST_CERTIFICATE, o->require_client_cert), "SSL_REQUEST_CERTIFICATE");
    must(SSL_OptionSet(fd, SSL_REQUIRE_CERTIFICATE, o->require_client_cert), "SSL_REQUIRE_CERTIFICATE");
    must(SSL_VersionRangeSet(fd, &only13), "SSL_VersionRangeSet");
    must(SSL_ConfigServerCert(fd, cert, key, NULL, 0), "SSL_ConfigServerCert");
    if (strcmp(nickname, "rsapss") == 0)
        must(SSL_SignatureSchemePrefSet(fd, pss, 1), "SSL_SignatureSchemePrefSet");
    if (o->group != NULL)
        set_groups(fd, o->group);
    if (o->suite != NULL)
        set_suite(fd, o->suite);
    if (o->early != NULL)
        set_early(fd);
    free(nickname);
    return fd;
}

static int nss_read(void *tls, unsigned char *buf, int cap)
{
    return PR_Recv(tls, buf, cap, 0, PR_SecondsToInterval(15));
}

static int nss_write(void *tls, const unsigned char *data, int len)
{
    return PR_Send(tls, data, len, 0, PR_SecondsToInterval(15));
}

static void serve(PRFileDesc *model, PRFileDesc *plain, struct peer_options *o)
{
    PRFileDesc *fd = SSL_ImportFD(model, plain);
    if (o->psk_len > 0)
        set_psk(fd, o);
    must(SSL_ResetHandshake(fd, PR_TRUE), "SSL_ResetHandshake");
    const struct peer_stream s = {fd, nss_read, nss_write};
    peer_echo(&s);
    if (PR_GetError() != 0)
        fprintf(stderr, "%s\n", PR_ErrorToName(PR_GetError()));
    (void)PR_Shutdown(fd, PR_SHUTDOWN_SEND);
    (void)PR_Close(fd);
}

int main(int argc, char **argv)
{
    struct peer_options o;
    peer_options(&o, argc, argv);
    PRFileDesc *model = configure(&o), *listener = PR_NewTCPSocket();
    PRNetAddr at;
    const PRSocketOptionData reuse = {.option = PR_SockOpt_Reuseaddr, .value.reuse_addr = PR_TRUE};
    (void)PR_InitializeNetAddr(PR_IpAddrLoopback, o.port, &at);
    (void)PR_SetSocketOption(listener, &reuse);
    if (PR_Bind(listener, &at) != PR_SUCCESS || PR_Listen(listener, 8) != PR_SUCCESS)
        peer_die("cannot listen", "127.0.0.1");
    for (PRFileDesc *plain; (plain = PR_Accept(listener, NULL, PR_INTERVAL_NO_TIMEOUT)) != NULL;)
        serve(model, plain, &o);
    return 1;
}
