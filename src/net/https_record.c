/* net/https_record.c: see https_record.h. Layer: net. An answer is hostile: anybody on the way may have made
 * it. What it can do is keep us from offering ECH, or name a server that then has to prove who it is. */
#include "net/https_record.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/reader.h"

#define TYPE_HTTPS  65
#define ALIASES_MAX 8
#define ANSWER_MAX  16384

/* SvcParamKeys (RFC 9460 section 14.3.2, RFC 9848). */
enum svc_param {
    SVC_MANDATORY = 0,
    SVC_ALPN = 1,
    SVC_NO_DEFAULT_ALPN = 2,
    SVC_PORT = 3,
    SVC_IPV4HINT = 4,
    SVC_ECH = 5,
    SVC_IPV6HINT = 6
};

void https_record_free(struct https_record *r)
{
    buf_free(&r->ech);
}

/* ---- reading ---- */

/* struct svc: one record. */
struct svc {
    uint16_t priority, port;
    char target[HTTPS_NAME_MAX];
    struct tt_bytes ech;
};

static bool mandatory_are_known(struct tt_bytes keys)
{
    bool known = keys.len > 0;
    for (struct reader r = reader_of(keys); known && rd_left(&r) > 0;) {
        uint16_t key = rd_u16(&r);
        known = !r.failed && key > SVC_MANDATORY && key <= SVC_IPV6HINT;
    }
    return known;
}

static bool take_param(struct svc *s, uint16_t key, struct tt_bytes value)
{
    struct reader r = reader_of(value);
    if (key == SVC_MANDATORY)
        return mandatory_are_known(value);
    if (key == SVC_ECH)
        s->ech = value;
    if (key == SVC_PORT) {
        s->port = rd_u16(&r);
        return rd_done(&r) == TT_OK && s->port != 0;
    }
    return true;
}

/* RFC 9460 section 2.2: keys "in strictly increasing numeric order"; what is not so is malformed. */
static bool take_params(struct svc *s, struct reader *r)
{
    int32_t last = -1;
    while (rd_left(r) > 0) {
        uint16_t key = rd_u16(r);
        struct tt_bytes value = rd_vec16(r, 0);
        if (r->failed || key <= last || !take_param(s, key, value))
            return false;
        last = key;
    }
    return true;
}

static bool svc_parse(struct svc *ret, const ns_msg *message, const ns_rr *rr)
{
    struct svc s = {.ech.len = 0};
    struct reader r = reader_of((struct tt_bytes){ns_rr_rdata(*rr), ns_rr_rdlen(*rr)});
    s.priority = rd_u16(&r);
    if (r.failed || rd_left(&r) == 0)
        return false;
    int n = ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), r.at, s.target, sizeof s.target);
    if (n < 0 || (size_t)n > rd_left(&r))
        return false;
    (void)rd_bytes(&r, (size_t)n);
    if (strcmp(s.target, ".") == 0)
        s.target[0] = '\0';
    if (s.target[0] != '\0' && res_hnok(s.target) != 1)
        return false;
    if (s.priority > 0 && !take_params(&s, &r)) /* those of an alias are ignored: RFC 9460, 2.4.1 */
        return false;
    *ret = s;
    return true;
}

static bool is_better(const struct svc *a, const struct svc *b)
{
    if ((a->ech.len > 0) != (b->ech.len > 0))
        return a->ech.len > 0;
    return a->priority < b->priority;
}

tt_rc https_record_parse(struct https_record *ret, bool *ret_is_alias, struct tt_bytes message)
{
    ns_msg m;
    struct svc best = {.ech.len = 0};
    bool any = false, alias = false;
    if (message.len > NS_MAXMSG || ns_initparse(message.data, (int)message.len, &m) != 0)
        return TT_ERR_DECODE;
    for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
        ns_rr rr;
        struct svc s;
        if (ns_parserr(&m, ns_s_an, i, &rr) != 0)
            break;
        if ((int)ns_rr_type(rr) != TYPE_HTTPS || ns_rr_class(rr) != ns_c_in || !svc_parse(&s, &m, &rr))
            continue;
        /* "SvcPriority of 0": AliasMode, which goes before all others; its "." is that there is no service */
        if (any && (alias || (s.priority > 0 && !is_better(&s, &best))))
            continue;
        any = true;
        best = s;
        alias = s.priority == 0;
    }
    *ret_is_alias = alias && best.target[0] != '\0';
    TT_TRY(buf_append(&ret->ech, best.ech.data, best.ech.len));
    memcpy(ret->target, best.target, sizeof ret->target);
    ret->port = best.port;
    return TT_OK;
}

/* ---- asking ---- */

/* "127.0.0.1:5353" */
static tt_rc use_server(struct __res_state *state, const char *server, struct tt_error *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(NS_DEFAULTPORT)};
    char host[INET_ADDRSTRLEN], *end = NULL;
    const char *colon = strchrnul(server, ':');
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - server), server);
    unsigned long port = *colon == ':' ? strtoul(colon + 1, &end, 10) : NS_DEFAULTPORT;
    bool right = (size_t)(colon - server) < sizeof host && inet_pton(AF_INET, host, &at.sin_addr) == 1 &&
                 port > 0 && port <= UINT16_MAX && (end == NULL || (end != colon + 1 && *end == '\0'));
    if (!right)
        return error_set(err, TT_ERR_USAGE,
                         "'%s' is not the address of a DNS server, such as 192.0.2.1 or 127.0.0.1:5353",
                         server);
    at.sin_port = htons((uint16_t)port);
    state->nsaddr_list[0] = at;
    state->nscount = 1;
    return TT_OK;
}

static tt_rc ask(struct https_record *ret, bool *ret_is_alias, struct __res_state *state, const char *name,
                 struct tt_error *err)
{
    TT_AUTO(mem_free_auto) uint8_t *answer = mem_alloc(ANSWER_MAX);
    if (answer == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret_is_alias = false;
    int n = res_nquery(state, name, ns_c_in, TYPE_HTTPS, answer, ANSWER_MAX);
    if (n < 0 && (state->res_h_errno == HOST_NOT_FOUND || state->res_h_errno == NO_DATA))
        return TT_OK; /* there is no such record */
    size_t len = n < ANSWER_MAX ? (size_t)n : ANSWER_MAX;
    if (n < 0 || https_record_parse(ret, ret_is_alias, (struct tt_bytes){answer, len}) != TT_OK)
        return error_set(err, TT_ERR_IO, "no DNS server gave a proper answer about the HTTPS record of %s",
                         name);
    return TT_OK;
}

/* RFC 9460 section 9.1: "_PORT._https.HOST", but for the port of https. */
static tt_rc first_name(char ret[HTTPS_NAME_MAX], const struct https_question *q, struct tt_error *err)
{
    int n = q->port == 443 ? snprintf(ret, HTTPS_NAME_MAX, "%s", q->host)
                           : snprintf(ret, HTTPS_NAME_MAX, "_%u._https.%s", q->port, q->host);
    return n < HTTPS_NAME_MAX ? TT_OK
                              : error_set(err, TT_ERR_USAGE, "the name %.80s... is too long", q->host);
}

static tt_rc follow(struct https_record *ret, struct __res_state *state, const struct https_question *q,
                    struct tt_error *err)
{
    char name[HTTPS_NAME_MAX], alias[HTTPS_NAME_MAX] = "";
    bool is_alias = true;
    TT_TRY(first_name(name, q, err));
    for (int i = 0; i < ALIASES_MAX && is_alias; i++) {
        struct https_record found = {.port = 0};
        tt_rc rc = ask(&found, &is_alias, state, name, err);
        if (rc != TT_OK || is_alias) {
            https_record_free(&found);
            TT_TRY(rc);
            memcpy(alias, found.target, sizeof alias);
            memcpy(name, found.target, sizeof name);
            continue;
        }
        if (found.target[0] == '\0')
            memcpy(found.target, alias, sizeof alias); /* "." is the last alias, or the host itself */
        *ret = found;
        return TT_OK;
    }
    return error_set(err, TT_ERR_IO, "the HTTPS record of %s is an alias of an alias, and so on", q->host);
}

tt_rc https_record_look_up(struct https_record *ret, const struct https_question *q, struct tt_error *err)
{
    struct __res_state state = {.options = 0};
    if (res_ninit(&state) != 0)
        return error_set(err, TT_ERR_IO, "the resolver library cannot be used");
    state.retrans = 3; /* seconds for the first try; the next one has twice as many */
    state.retry = 2;
    tt_rc rc = q->server != NULL ? use_server(&state, q->server, err) : TT_OK;
    if (rc == TT_OK)
        rc = follow(ret, &state, q, err);
    res_nclose(&state);
    return rc;
}
