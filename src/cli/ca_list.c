/* cli/ca_list.c: `tpmtls ca show|list|export|stats|pending`, and what `ca audit` and `ca token list` print.
 * Layer: cli. All is gathered before anything is printed: a slow reader of our output must not hold the
 * store. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/ca_cli.h"
#include "cli/evidence_print.h"
#include "cli/event.h"

static void json_decref_auto(json_t **j)
{
    json_decref(*j);
}

static void put_time(json_t *to, const char *name, int64_t seconds)
{
    char text[24];
    ca_cli_time(text, seconds);
    if (seconds != 0)
        (void)json_object_set_new(to, name, json_string(text));
}

static const char *member(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text == NULL ? "" : text;
}

/* ---- list ---- */

static tt_rc gather(void *arg, const struct ca_entry *e)
{
    struct tt_cert_info *info = NULL;
    TT_TRY(tt_cert_describe(&info, e->der, NULL));
    json_t *entry = ca_cli_info_json(info);
    tt_cert_info_free(info);
    (void)json_object_set_new(entry, "status", json_string(e->state));
    (void)json_object_set_new(entry, "profile", json_string(e->profile));
    (void)json_object_set_new(entry, "attested", json_boolean(e->attested));
    put_time(entry, "revokedAt", e->revoked);
    if (e->reason >= 0)
        (void)json_object_set_new(entry, "reason", json_string(ca_reason_word(e->reason)));
    return json_array_append_new(arg, entry) == 0 ? TT_OK : TT_ERR_MEMORY;
}

static tt_rc filter_of(struct ca_filter *ret, const struct ca_options *o, int64_t now, struct tt_error *err)
{
    static const char *const states[] = {"valid", "expired", "held", "revoked"};
    *ret =
        (struct ca_filter){.state = o->state, .subject = o->subject, .newest = o->newest, .limit = o->limit};
    bool known = o->state == NULL;
    for (size_t i = 0; i < TT_COUNT(states); i++)
        known = known || strcmp(o->state, states[i]) == 0;
    if (!known)
        return error_set(err, TT_ERR_USAGE, "there is no state '%.40s': valid, expired, held or revoked",
                         o->state);
    if (o->expires != NULL) {
        TT_TRY(ca_cli_until(&ret->expires_before, o->expires, now, err));
        ret->expires_after = now;
    }
    return TT_OK;
}

static int list_print(const json_t *entries)
{
    size_t i;
    json_t *e;
    printf("%-40s  %-20s  %-7s  %s\n", "SERIAL", "NOT AFTER", "STATUS", "SUBJECT");
    json_array_foreach(entries, i, e) printf(
        "%-40s  %-20s  %-7s  %s%s%s\n", member(e, "serial"), member(e, "notAfter"), member(e, "status"),
        member(e, "subject"), member(e, "subject")[0] == '\0' ? "" : "  ", member(e, "subjectAltName"));
    return CLI_OK;
}

/* *ret: an array of what `fn` makes of each certificate that the options name; the caller's. */
static tt_rc collect(json_t **ret, const struct ca_options *o, ca_entry_fn fn, struct tt_error *err)
{
    struct ca *ca = NULL;
    struct ca_filter filter;
    int64_t now = (int64_t)time(NULL);
    json_t *entries = json_array();
    tt_rc rc = filter_of(&filter, o, now, err);
    if (rc == TT_OK)
        rc = ca_cli_open(&ca, o, err);
    if (rc == TT_OK)
        rc = ca_list(ca, &filter, now, fn, entries, err);
    ca_close(ca);
    if (rc == TT_OK)
        *ret = entries;
    else
        json_decref(entries);
    return rc;
}

int run_ca_list(const struct cli *cli, void *options)
{
    json_t *entries = NULL;
    struct tt_error err = {0};
    tt_rc rc = collect(&entries, options, gather, &err);
    if (rc != TT_OK)
        return ca_cli_fail(rc, &err);
    if (cli->json)
        return ca_cli_json(entries);
    int code = list_print(entries);
    json_decref(entries);
    return code;
}

/* ---- export ---- */

static tt_rc take_der(void *arg, const struct ca_entry *e)
{
    struct tt_cert_list *to = arg;
    struct tt_bytes *more = mem_resize(to->certs, (to->len + 1) * sizeof *more);
    if (more == NULL)
        return TT_ERR_MEMORY;
    to->certs = more;
    more[to->len] = (struct tt_bytes){mem_dup(e->der.data, e->der.len), e->der.len};
    return more[to->len++].data == NULL ? TT_ERR_MEMORY : TT_OK;
}

static void taken_free(struct tt_cert_list *l)
{
    for (size_t i = 0; i < l->len; i++)
        mem_free((void *)(uintptr_t)l->certs[i].data);
    mem_free(l->certs);
}

/* As `ca list` has them, and the certificate where it is in no file. */
static tt_rc gather_whole(void *arg, const struct ca_entry *e)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    struct tt_bytes der = e->der;
    TT_TRY(tt_cert_list_to_pem(&pem, &(struct tt_cert_list){&der, 1}, 1, NULL));
    TT_TRY(gather(arg, e));
    json_t *entry = json_array_get(arg, json_array_size(arg) - 1);
    return json_object_set_new(entry, "pem", json_string(pem)) == 0 ? TT_OK : TT_ERR_MEMORY;
}

static int export_json(const struct ca_options *o)
{
    json_t *entries = NULL;
    struct tt_error err = {0};
    tt_rc rc = collect(&entries, o, o->out == NULL ? gather_whole : gather, &err);
    return rc == TT_OK ? ca_cli_json(entries) : ca_cli_fail(rc, &err);
}

int run_ca_export(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    struct ca_filter filter;
    int64_t now = (int64_t)time(NULL);
    TT_AUTO(taken_free) struct tt_cert_list list = {0};
    tt_rc rc = filter_of(&filter, o, now, &err);
    if (rc == TT_OK)
        rc = cli_may_write(o->out, HOLDS_CERTIFICATE, ca_cli_over(o), &err);
    if (rc == TT_OK)
        rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = ca_list(ca, &filter, now, take_der, &list, &err);
    ca_close(ca);
    if (rc == TT_OK && list.len == 0)
        rc = error_set(&err, TT_ERR_NOT_FOUND, "no certificate is like that");
    if (rc == TT_OK && cli->json && o->out == NULL)
        return export_json(o);
    if (rc == TT_OK)
        rc = ca_cli_pem(o, &list, list.len, &err);
    if (rc == TT_OK)
        cli_wrote(o->out, "certificates");
    if (rc != TT_OK)
        return ca_cli_fail(rc, &err);
    return cli->json ? export_json(o) : CLI_OK;
}

/* ---- show ---- */

static void info_print(const struct tt_cert_info *i)
{
    printf("subject:     %s\nissuer:      %s\nserial:      %s\nkey:         %s\n", i->subject, i->issuer,
           i->serial, i->key);
    if (i->sans[0] != '\0')
        printf("names:       %s\n", i->sans);
    printf("not before:  %s\nnot after:   %s\nsha256:      %s\n", i->not_before_text, i->not_after_text,
           i->sha256);
}

static tt_rc show_cert(const struct cli *cli, struct tt_bytes der, const struct ca_options *o,
                       const json_t *entry, struct tt_error *err)
{
    struct tt_cert_info *info = NULL;
    if (o->out != NULL)
        return ca_cli_pem(o, &(struct tt_cert_list){&der, 1}, 1, err);
    TT_TRY(tt_cert_describe(&info, der, err));
    if (cli->json) {
        json_t *root = ca_cli_info_json(info);
        if (entry != NULL)
            (void)json_object_update(root, (json_t *)(uintptr_t)entry);
        (void)ca_cli_json(root);
    } else {
        info_print(info);
    }
    if (!cli->json && entry != NULL) {
        printf("status:      %s%s%s\n", member(entry, "status"),
               member(entry, "reason")[0] != '\0' ? ", " : "", member(entry, "reason"));
        if (member(entry, "profile")[0] != '\0')
            printf("profile:     %s\n", member(entry, "profile"));
    }
    tt_cert_info_free(info);
    return TT_OK;
}

/* struct evidence_to: where the evidence of a request goes: to a file, to the JSON, or to be read. */
struct evidence_to {
    const struct ca_options *o;
    json_t *entry; /* NULL: none */
    struct tt_error *err;
};

static tt_rc evidence_write(const struct evidence_to *to, struct tt_bytes der)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(tt_attest_to_pem(&pem, TT_ATTEST_EVIDENCE, der, to->err));
    return cli_write_file(to->o->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)},
                          (struct file_want){0644, to->o->force ? FILE_FORCE : FILE_REPLACE}, to->err);
}

static tt_rc show_evidence(void *arg, const struct ca_request *r)
{
    const struct evidence_to *to = arg;
    struct tt_evidence e;
    if (r->evidence.len == 0)
        return error_set(to->err, TT_ERR_NOT_FOUND, "%s was asked for without evidence", to->o->word);
    if (to->o->out != NULL)
        return evidence_write(to, r->evidence);
    TT_TRY(tt_evidence_read(&e, r->evidence, to->err));
    json_t *json = to->entry == NULL ? NULL : json_object();
    if (to->entry == NULL)
        (void)putchar('\n');
    evidence_print(&e, json);
    if (json != NULL)
        (void)json_object_set_new(to->entry, "evidence", json);
    return TT_OK;
}

static tt_rc show_proof(struct ca *ca, const struct ca_options *o, json_t *entry, struct tt_error *err)
{
    struct evidence_to to = {o, entry, err};
    const struct ca_request_filter filter = {.serial = o->word};
    return ca_requests(ca, &filter, show_evidence, &to, err);
}

static tt_rc show_issued(const struct cli *cli, struct ca *ca, const struct ca_options *o,
                         struct tt_error *err)
{
    TT_AUTO(taken_free) struct tt_cert_list one = {0};
    int64_t now = (int64_t)time(NULL);
    json_t *entries = json_array();
    tt_rc rc = ca_find(ca, o->word, now, take_der, &one, err);
    if (rc == TT_OK)
        rc = ca_find(ca, o->word, now, gather, entries, err);
    if (rc == TT_OK && o->evidence && cli->json)
        rc = show_proof(ca, o, json_array_get(entries, 0), err);
    if (rc == TT_OK)
        rc = show_cert(cli, one.certs[0], o, json_array_get(entries, 0), err);
    if (rc == TT_OK && o->evidence && !cli->json)
        rc = show_proof(ca, o, NULL, err);
    json_decref(entries);
    return rc;
}

static tt_rc show_any(const struct cli *cli, struct ca *ca, const struct ca_options *o, struct tt_error *err)
{
    if (o->evidence && o->word == NULL) {
        (void)error_set(err, TT_ERR_USAGE, "the evidence of which certificate?");
        error_hint(err, "give its serial number: `tpmtls ca list` shows them");
        return TT_ERR_USAGE;
    }
    if (o->evidence && o->out != NULL)
        return show_proof(ca, o, NULL, err);
    if (o->word != NULL)
        return show_issued(cli, ca, o, err);
    TT_AUTO(json_decref_auto) json_t *former = cli->json ? ca_cli_former_json(ca) : NULL;
    TT_AUTO(json_decref_auto)
    json_t *own = !cli->json       ? NULL
                  : former == NULL ? json_pack("{s:s}", "keyId", ca_key_id(ca))
                                   : json_pack("{s:s, s:O}", "keyId", ca_key_id(ca), "former", former);
    return show_cert(cli, ca_certificate(ca), o, own, err);
}

static void show_own(struct ca *ca, const struct ca_options *o)
{
    json_t *former = ca_cli_former_json(ca), *f;
    size_t i;
    printf("CA's key:    %s\nkey id:      %s\ncertificate: %s/" CA_CERT_FILE "\n", ca_key_name(ca),
           ca_key_id(ca), o->dir);
    json_array_foreach(former, i, f)
        printf("former key:  %s, key id %s, of %lld certificates in use%s%s\n", member(f, "key"),
               member(f, "keyId"), (long long)json_integer_value(json_object_get(f, "certificates")),
               member(f, "neededUntil")[0] != '\0' ? " until " : "", member(f, "neededUntil"));
    json_decref(former);
}

int run_ca_show(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    tt_rc rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = show_any(cli, ca, o, &err);
    if (rc == TT_OK && o->word == NULL && o->out == NULL && !cli->json)
        show_own(ca, o);
    ca_close(ca);
    return rc == TT_OK ? CLI_OK : ca_cli_fail(rc, &err);
}

/* ---- stats ---- */

int run_ca_stats(const struct cli *cli, void *options)
{
    struct tt_error err = {0};
    struct ca *ca = NULL;
    struct ca_counts c = {0};
    tt_rc rc = ca_cli_open(&ca, options, &err);
    if (rc == TT_OK)
        rc = ca_count(ca, &c, (int64_t)time(NULL), &err);
    ca_close(ca);
    if (rc != TT_OK)
        return ca_cli_fail(rc, &err);
    const struct {
        const char *name, *text;
        int64_t n;
    } rows[] = {{"valid", "certificates that are valid", c.valid},
                {"attested", "of these with evidence of a TPM", c.attested},
                {"expired", "expired", c.expired},
                {"held", "on hold", c.held},
                {"revoked", "revoked", c.revoked},
                {"issuedHour", "issued in the last hour", c.issued_hour},
                {"issuedDay", "issued in the last day", c.issued_day},
                {"pending", "requests that wait for a person", c.pending},
                {"approved", "approved and not yet fetched", c.approved},
                {"refused", "requests refused", c.refused},
                {"rejected", "requests rejected by a person", c.rejected},
                {"tokens", "tokens that can be used", c.tokens}};
    json_t *root = json_object();
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        if (cli->json)
            (void)json_object_set_new(root, rows[i].name, json_integer(rows[i].n));
        else
            printf("%10lld  %s\n", (long long)rows[i].n, rows[i].text);
    }
    if (cli->json)
        return ca_cli_json(root);
    json_decref(root);
    return CLI_OK;
}

/* ---- pending ---- */

static const char *who_word(enum ca_who who)
{
    static const char *const words[] = {"operator", "token", "certificate", "attestation",
                                        "operator-certificate"};
    return (unsigned)who < TT_COUNT(words) ? words[who] : "?";
}

static tt_rc gather_request(void *arg, const struct ca_request *r)
{
    json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "id", r->id, "state",
                            r->state, "subject", r->subject, "subjectAltName", r->names, "key", r->key,
                            "profile", r->profile, "by", who_word(r->who), "requester", r->requester,
                            "address", r->address, "attested", r->attested);
    put_time(one, "asked", r->made);
    put_time(one, "decided", r->decided);
    if (r->why[0] != '\0')
        (void)json_object_set_new(one, "why", json_string(r->why));
    if (r->serial[0] != '\0')
        (void)json_object_set_new(one, "serial", json_string(r->serial));
    return json_array_append_new(arg, one) == 0 ? TT_OK : TT_ERR_MEMORY;
}

int run_ca_pending(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    json_t *list = json_array();
    const struct ca_request_filter filter = {.state = o->state == NULL               ? "pending"
                                                      : strcmp(o->state, "all") == 0 ? NULL
                                                                                     : o->state,
                                             .newest = o->newest,
                                             .limit = o->limit};
    tt_rc rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = ca_requests(ca, &filter, gather_request, list, &err);
    ca_close(ca);
    size_t i;
    json_t *r;
    if (rc == TT_OK && !cli->json) {
        printf("%-8s  %-20s  %-8s  %-11s  %s\n", "REQUEST", "ASKED", "STATE", "BY", "SUBJECT");
        json_array_foreach(list, i, r)
            printf("%-8s  %-20s  %-8s  %-11s  %s%s%s\n", member(r, "id"), member(r, "asked"),
                   member(r, "state"), member(r, "by"), member(r, "subject"),
                   member(r, "subject")[0] == '\0' ? "" : "  ", member(r, "subjectAltName"));
    }
    if (rc == TT_OK && cli->json)
        return ca_cli_json(list);
    json_decref(list);
    return rc == TT_OK ? CLI_OK : ca_cli_fail(rc, &err);
}

/* ---- tokens ---- */

static tt_rc gather_token(void *arg, const struct ca_token *t)
{
    json_t *names = json_array();
    for (const char *line = t->names; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
        (void)json_array_append_new(names, json_stringn(line, strcspn(line, "\n")));
    json_t *one =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:o}", "id", t->id, "subject", t->subject, "profile",
                  t->profile, "by", t->by, "uses", (int)t->uses, "used", (int)t->used, "names", names);
    put_time(one, "made", t->made);
    put_time(one, "expires", t->expires);
    put_time(one, "revokedAt", t->revoked);
    return json_array_append_new(arg, one) == 0 ? TT_OK : TT_ERR_MEMORY;
}

int run_ca_token_list(const struct cli *cli, void *options)
{
    struct tt_error err = {0};
    struct ca *ca = NULL;
    json_t *list = json_array();
    tt_rc rc = ca_cli_open(&ca, options, &err);
    if (rc == TT_OK)
        rc = ca_tokens(ca, gather_token, list, &err);
    ca_close(ca);
    size_t i;
    json_t *t;
    if (rc == TT_OK && !cli->json) {
        printf("%-6s  %-20s  %-9s  %s\n", "TOKEN", "EXPIRES", "USED", "FOR");
        json_array_foreach(list, i, t)
            printf("%-6s  %-20s  %lld of %-4lld  %s%s\n", member(t, "id"), member(t, "expires"),
                   (long long)json_integer_value(json_object_get(t, "used")),
                   (long long)json_integer_value(json_object_get(t, "uses")),
                   member(t, "subject")[0] == '\0' ? "anybody" : member(t, "subject"),
                   member(t, "revokedAt")[0] == '\0' ? "" : "  (revoked)");
    }
    if (rc == TT_OK && cli->json)
        return ca_cli_json(list);
    json_decref(list);
    return rc == TT_OK ? CLI_OK : ca_cli_fail(rc, &err);
}

/* ---- audit ---- */

static tt_rc print_act(void *arg, const struct ca_act *a)
{
    json_t *list = arg;
    return json_array_append_new(list, json_string(a->line)) == 0 ? TT_OK : TT_ERR_MEMORY;
}

int run_ca_audit_list(const struct cli *cli, void *options)
{
    (void)cli; /* its lines are JSON in any case: they are printed as they were hashed */
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    json_t *list = json_array();
    tt_rc rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = ca_acts(ca, o->newest, o->limit, print_act, list, &err);
    ca_close(ca);
    size_t i;
    json_t *line;
    if (rc == TT_OK)
        json_array_foreach(list, i, line) printf("%s\n", json_string_value(line));
    json_decref(list);
    return rc == TT_OK ? CLI_OK : ca_cli_fail(rc, &err);
}

int run_ca_audit_verify(const struct cli *cli, void *options)
{
    const struct ca_options *o = options;
    struct tt_error err = {0};
    struct ca *ca = NULL;
    struct ca_audit audit = {0};
    tt_rc rc = ca_cli_open(&ca, o, &err);
    if (rc == TT_OK)
        rc = ca_audit_verify(ca, &audit, o->head, &err);
    ca_close(ca);
    if (rc != TT_OK)
        return ca_cli_fail(rc, &err);
    if (cli->json)
        return ca_cli_json(json_pack("{s:I, s:s}", "acts", (json_int_t)audit.acts, "head", audit.head));
    printf("%lld acts, whole; the last one has the hash %s\n", (long long)audit.acts, audit.head);
    return CLI_OK;
}
