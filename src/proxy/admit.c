/* proxy/admit.c: see admit.h. Layer: proxy. */
#include "proxy/admit.h"

#include <errno.h>
#include <string.h>

#include "pki/peer_names.h"
#include "proxy/header.h"

#define KNOWN_LONGEST 8192

/* ---- who was here lately ---- */

static void forget(struct known_name *k)
{
    mem_free(k->der);
    peer_names_free(k->names);
    *k = (struct known_name){0};
}

void known_names_free(struct known_names *known)
{
    for (size_t i = 0; i < KNOWN_NAMES; i++)
        forget(&known->at[i]);
}

/* FNV-1a. Who makes two certificates fall into one place makes them be read again, and no more. */
static size_t place_of(struct tt_bytes der)
{
    uint32_t h = 0x811c9dc5;
    for (size_t i = 0; i < der.len; i++)
        h = (h ^ der.data[i]) * 0x01000193;
    return h % KNOWN_NAMES;
}

/* NULL: it cannot be read. */
static const struct peer_names *names_of(struct known_names *known, struct tt_bytes der)
{
    struct known_name *k = &known->at[place_of(der)];
    if (k->der != NULL && k->len == der.len && memcmp(k->der, der.data, der.len) == 0)
        return k->names;
    forget(k);
    if (peer_names_read(&k->names, der, NULL) != TT_OK)
        return NULL;
    k->der = der.len <= KNOWN_LONGEST ? mem_dup(der.data, der.len) : NULL;
    k->len = der.len;
    return k->names;
}

/* ---- admission ---- */

static struct rule_peer peer_of(struct known_names *known, const struct tt_conn *c,
                                const struct tt_conn_info *info)
{
    struct rule_peer peer = {.certificate = tt_conn_peer_certificate(c, 0),
                             .is_raw_key = info->peer_certificate_type == TT_CERTIFICATE_RAW_PUBLIC_KEY};
    if (peer.certificate.len > 0 && !peer.is_raw_key)
        peer.names = names_of(known, peer.certificate);
    return peer;
}

bool admit_peer(struct known_names *known, const struct rules *rules, const struct tt_conn *c,
                struct tt_error *why)
{
    char subject[RULE_SUBJECT_MAX];
    struct tt_conn_info info;
    tt_conn_info(c, &info);
    const struct rule_peer peer = peer_of(known, c, &info);
    if (rules_allow(rules, &peer, NULL))
        return true;
    rule_subject(subject, &peer);
    (void)error_set(why, TT_ERR_VERIFY, "no rule lets %s in", subject);
    return false;
}

/* ---- what the program is told ---- */

/* The buffer of a fresh connection takes it whole. */
static tt_rc send_whole(int fd, struct tt_bytes b, struct tt_error *err)
{
    ssize_t n = send(fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == (ssize_t)b.len)
        return TT_OK;
    return error_set(err, TT_ERR_IO, "the target took no header of the PROXY protocol: %s",
                     n < 0 ? strerror(errno) : "only a part of it");
}

tt_rc admit_header(struct known_names *known, int fd, const struct stream *s, const char *id,
                   const struct cert_algorithms *cert, struct tt_error *err)
{
    uint8_t bytes[8192];
    struct sockaddr_storage peer, own;
    struct tt_conn_info info;
    const struct tt_conn *c = stream_conn(s);
    tt_conn_info(c, &info);
    const struct rule_peer who = peer_of(known, c, &info);
    bool has_addresses = stream_addresses(s, &peer, &own);
    const struct peer_name *cn = who.names != NULL ? peer_names_first(who.names, PEER_NAME_CN) : NULL;
    const struct header h = {
        .source = has_addresses ? (const struct sockaddr *)&peer : NULL,
        .destination = has_addresses ? (const struct sockaddr *)&own : NULL,
        .alpn = info.alpn,
        .authority = info.server_name,
        .unique_id = {(const uint8_t *)id, strlen(id)},
        .is_tls = true,
        .verify = who.certificate.len == 0, /* 0 says "verified" only beside a certificate */
        .client = who.certificate.len == 0 ? 0
                  : info.resumed           ? HEADER_CLIENT_CERT_SESS
                                           : HEADER_CLIENT_CERT_CONN | HEADER_CLIENT_CERT_SESS,
        .version = "TLSv1.3",
        .cipher = tt_suite_name(info.suite),
        .key_alg = cert->key[0] != '\0' ? cert->key : NULL,
        .sig_alg = cert->signature[0] != '\0' ? cert->signature : NULL,
        .group = tt_group_name(info.group),
        .sig_scheme = info.local_scheme != 0 ? tt_scheme_name(info.local_scheme) : NULL,
        .cn = cn != NULL ? (struct tt_bytes){cn->value, cn->len} : (struct tt_bytes){NULL, 0},
    };
    size_t n = header_write(bytes, sizeof bytes, &h);
    return n > 0 ? send_whole(fd, (struct tt_bytes){bytes, n}, err)
                 : error_set(err, TT_ERR_USAGE,
                             "the client's names do not fit into a header of the PROXY protocol");
}
