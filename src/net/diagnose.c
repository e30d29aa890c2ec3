/* net/diagnose.c: sentences for failed connections. Layer: net. The engine says which rule of RFC 9846 was
 * broken; here is what that usually means to the person who typed the command. */
#include "net/diagnose.h"

#include <stdio.h>
#include <string.h>

/* What the other end's alert asks of us (RFC 9846 section 6.2). */
static const struct alert_advice {
    unsigned alert;
    const char *client; /* hint when we are the client */
    const char *server;
} advice[] = {
    {TT_ALERT_CERTIFICATE_REQUIRED, "it wants a client certificate it can trust: give --key and --cert",
     NULL},
    {TT_ALERT_HANDSHAKE_FAILURE,
     "there is no cipher suite, group or signature scheme both ends can do, or it wants a pre-shared key: "
     "--psk",
     "there is no cipher suite, group or signature scheme both ends can do"},
    {TT_ALERT_INSUFFICIENT_SECURITY, "it asks for stronger algorithms than were offered", NULL},
    {TT_ALERT_UNKNOWN_CA,
     "it does not know the CA of our certificate (--cert); the chain in that file may be incomplete",
     "it does not trust the CA of our certificate (--cert); the chain in that file may be incomplete"},
    {TT_ALERT_BAD_CERTIFICATE, "it does not accept the certificate in --cert",
     "it does not accept our certificate (--cert); the name or the chain may be wrong"},
    {TT_ALERT_UNSUPPORTED_CERTIFICATE,
     "our certificate (--cert) is not for client use, or it deals in raw public keys (--peer-raw-public-key)",
     "our certificate (--cert) is not for server use, or it takes raw public keys only (--raw-public-key)"},
    {TT_ALERT_CERTIFICATE_REVOKED, "our certificate (--cert) was revoked",
     "our certificate (--cert) was revoked"},
    {TT_ALERT_CERTIFICATE_EXPIRED, "our certificate (--cert) is expired, or a clock is wrong",
     "our certificate (--cert) is expired, or a clock is wrong"},
    {TT_ALERT_CERTIFICATE_UNKNOWN, "it does not accept the certificate in --cert",
     "it does not accept our certificate (--cert)"},
    {TT_ALERT_ACCESS_DENIED, "the certificate is fine, but this client is not let in", NULL},
    {TT_ALERT_DECRYPT_ERROR, "it could not verify our signature: does the certificate belong to the key?",
     "it could not verify our signature: does the certificate belong to the key?"},
    {TT_ALERT_UNRECOGNIZED_NAME, "it does not serve that name: try another --servername", NULL},
    {TT_ALERT_NO_APPLICATION_PROTOCOL, "it speaks none of the protocols in --alpn", NULL},
    {TT_ALERT_ECH_REQUIRED, NULL,
     "it encrypted the name for a key that is none of ours, and was told the right one; where it does not "
     "come "
     "back with that: the DNS still has an old ECHConfigList (keep its key among --ech-key)"},
    {TT_ALERT_USER_CANCELED, "somebody at the other end gave up", "somebody at the other end gave up"},
    {TT_ALERT_INTERNAL_ERROR, "the fault is at the other end; its log may say more",
     "the fault is at the other end; its log may say more"},
};

static const char *advice_for(unsigned alert, enum tt_role role)
{
    for (size_t i = 0; i < TT_COUNT(advice); i++) {
        if (advice[i].alert == alert)
            return role == TT_CLIENT ? advice[i].client : advice[i].server;
    }
    return NULL;
}

static void say(struct tt_error *err, const char *text, const char *hint)
{
    (void)snprintf(err->text, sizeof err->text, "%s", text);
    (void)snprintf(err->hint, sizeof err->hint, "%s", hint != NULL ? hint : "");
}

static bool starts_with(struct tt_bytes b, const char *word)
{
    size_t n = strlen(word);
    return b.len >= n && memcmp(b.data, word, n) == 0;
}

/* A TLS record begins with its type, 20 .. 24; protocols made of lines begin with a letter or digit. */
static bool is_text_protocol(struct tt_bytes first)
{
    if (first.len == 0)
        return false;
    for (size_t i = 0; i < first.len && first.data[i] != '\r' && first.data[i] != '\n'; i++) {
        if (first.data[i] < 0x20 || first.data[i] > 0x7e)
            return false;
    }
    return true;
}

static void not_tls(struct tt_error *err, const struct diagnose_facts *f)
{
    static const char *const requests[] = {"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT "};
    char text[sizeof err->text];
    if (starts_with(f->first, "HTTP/")) {
        (void)snprintf(text, sizeof text, "%s does not speak TLS: it answers HTTP", f->peer);
        say(err, text, "is the port right? HTTP with TLS usually has its own, such as 443");
        return;
    }
    for (size_t i = 0; i < TT_COUNT(requests); i++) {
        if (starts_with(f->first, requests[i])) {
            (void)snprintf(text, sizeof text, "%s does not speak TLS: it sent an HTTP request", f->peer);
            say(err, text, "the client should use https");
            return;
        }
    }
    int shown = 0;
    while ((size_t)shown < f->first.len && f->first.data[shown] >= 0x20)
        shown++;
    (void)snprintf(text, sizeof text, "%s does not speak TLS: it says \"%.*s\"", f->peer, shown,
                   (const char *)f->first.data);
    say(err, text, "is the port right?");
}

static void old_version(struct tt_error *err, const struct diagnose_facts *f)
{
    char text[sizeof err->text];
    (void)snprintf(text, sizeof text, "%s does not speak TLS 1.3, only an older version", f->peer);
    say(err, text, "tpmtls speaks TLS 1.3 and nothing older; allow TLS 1.3 at the other end");
}

static void refused(struct tt_error *err, const struct diagnose_facts *f)
{
    char text[sizeof err->text];
    (void)snprintf(text, sizeof text, "%s refused the connection%s: alert %s (%u)", f->peer,
                   f->connected ? " after the handshake" : "", tt_alert_name(f->alert_received),
                   f->alert_received);
    say(err, text, advice_for(f->alert_received, f->role));
}

static void hung_up(struct tt_error *err, const struct diagnose_facts *f)
{
    char text[sizeof err->text];
    if (f->connected) {
        (void)snprintf(text, sizeof text, "%s %s: data may be missing", f->peer,
                       f->was_reset ? "reset the connection" : "hung up without close_notify");
        say(err, text, NULL);
        return;
    }
    (void)snprintf(text, sizeof text, "%s closed the connection in the middle of the handshake", f->peer);
    say(err, text,
        f->role == TT_SERVER ? "it may not like our certificate, or only look whether the port is open"
        : f->first.len == 0  ? "it may not speak TLS on this port, or not let this address in"
                             : "its log may say why");
}

/* Everything else keeps the engine's sentence, with the peer's name in front. */
static void name_the_peer(struct tt_error *err, const char *peer)
{
    char text[sizeof err->text];
    if (strncmp(err->text, peer, strlen(peer)) == 0)
        return;
    (void)snprintf(text, sizeof text, "%.80s: %.230s", peer, err->text);
    error_cut(text);
    memcpy(err->text, text, sizeof text);
}

void diagnose(struct tt_error *err, const struct diagnose_facts *f)
{
    bool ours = err->rc == TT_ERR_TPM || err->rc == TT_ERR_VERIFY || err->rc == TT_ERR_MEMORY ||
                err->rc == TT_ERR_INTERNAL || err->rc == TT_ERR_BUSY || err->rc == TT_ERR_DEADLINE;
    if (!ours && !f->connected && is_text_protocol(f->first))
        not_tls(err, f);
    else if (f->alert_received == TT_ALERT_PROTOCOL_VERSION || f->alert_sent == TT_ALERT_PROTOCOL_VERSION)
        old_version(err, f);
    else if (err->rc == TT_ERR_PEER_ALERT)
        refused(err, f);
    else if (err->rc == TT_ERR_CLOSED)
        hung_up(err, f);
    else
        name_the_peer(err, f->peer);
}
