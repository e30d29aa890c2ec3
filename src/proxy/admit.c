/* proxy/admit.c: see admit.h. Layer: proxy. */
#include "proxy/admit.h"

#include <errno.h>
#include <string.h>

#include "pki/peer_names.h"
#include "proxy/header.h"

static struct rule_peer peer_of(const struct tt_conn *c, const struct tt_conn_info *info)
{
    return (struct rule_peer){.certificate = tt_conn_peer_certificate(c, 0),
                              .is_raw_key = info->peer_certificate_type == TT_CERTIFICATE_RAW_PUBLIC_KEY};
}

bool admit_peer(const struct rules *rules, const struct tt_conn *c, struct tt_error *why)
{
    char subject[RULE_SUBJECT_MAX];
    struct tt_conn_info info;
    tt_conn_info(c, &info);
    const struct rule_peer peer = peer_of(c, &info);
    if (rules_allow(rules, &peer, NULL))
        return true;
    rule_subject(subject, &peer);
    (void)error_set(why, TT_ERR_VERIFY, "no rule lets %s in", subject);
    return false;
}

/* The buffer of a fresh connection takes it whole. */
static tt_rc send_whole(int fd, struct tt_bytes b, struct tt_error *err)
{
    ssize_t n = send(fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == (ssize_t)b.len)
        return TT_OK;
    return error_set(err, TT_ERR_IO, "the target took no header of the PROXY protocol: %s",
                     n < 0 ? strerror(errno) : "only a part of it");
}

tt_rc admit_header(int fd, const struct stream *s, const char *id, const struct cert_algorithms *cert,
                   struct tt_error *err)
{
    TT_AUTO(peer_names_free_auto) struct peer_names *names = NULL;
    uint8_t bytes[8192];
    struct sockaddr_storage peer, own;
    struct tt_conn_info info;
    const struct tt_conn *c = stream_conn(s);
    tt_conn_info(c, &info);
    const struct rule_peer who = peer_of(c, &info);
    bool has_addresses = stream_addresses(s, &peer, &own);
    if (who.certificate.len > 0 && !who.is_raw_key)
        TT_TRY(peer_names_read(&names, who.certificate, err));
    const struct peer_name *cn = names != NULL ? peer_names_first(names, PEER_NAME_CN) : NULL;
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
