/* cli/doctor_json.c: `tpmtls --json doctor`: one object, one line. Layer: cli. Numbers of microseconds end in
 * _us. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"

static void set(json_t *to, const char *name, json_t *value)
{
    (void)json_object_set_new(to, name, value);
}

/* "a b c" as an array */
static json_t *words(const char *text)
{
    json_t *list = json_array();
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        (void)json_array_append_new(list, json_stringn(text, n));
        text += n + (text[n] == ' ');
    }
    return list;
}

static json_t *places(const struct tt_doctor *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->places_len; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s}", "where", d->places[i].where, "state", d->places[i].state));
    return list;
}

static json_t *salt(const struct tt_doctor *d)
{
    if (!d->salt_measured)
        return json_pack("{s:b, s:s, s:b}", "measured", 0, "why", d->salt_why, "fips", d->fips);
    return json_pack("{s:b, s:i, s:b, s:b}", "measured", 1, "bytes", (int)d->salt, "valid", d->salt_valid,
                     "fips", d->fips);
}

static json_t *lockout(const struct tt_doctor *d)
{
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "locked", d->locked, "failures",
                     (json_int_t)d->failures, "max_failures", (json_int_t)d->max_failures,
                     "seconds_per_failure", (json_int_t)d->seconds_per_failure, "recovery_seconds",
                     (json_int_t)d->lockout_recovery, "seconds_to_unlock", (json_int_t)d->seconds_to_unlock);
}

static json_t *space(const struct tt_doctor *d)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "slots", (json_int_t)d->slots, "slots_free",
                     (json_int_t)d->slots_free, "sessions_free", (json_int_t)d->sessions_free, "persistent",
                     (json_int_t)d->persistent, "persistent_free", (json_int_t)d->persistent_free,
                     "nv_indexes", (json_int_t)d->nv_indexes);
}

static json_t *number_or_null(uint32_t n)
{
    return n == 0 ? json_null() : json_integer((json_int_t)n);
}

/* "match": the certificate is of a key of this TPM; null: that is not known. */
static json_t *certificate(const struct tt_doctor *d, size_t i, const struct doctor_roots *roots)
{
    struct doctor_ek_view v = doctor_ek_view(d, i, roots);
    json_t *o = json_pack("{s:I, s:s, s:s}", "nv_index", (json_int_t)d->eks[i].nv_index, "kind",
                          d->eks[i].name, "chain", v.chain);
    if (v.info != NULL) {
        set(o, "key", json_string(v.info->key));
        set(o, "issuer", json_string(v.info->issuer));
        set(o, "not_after", json_string(v.info->not_after_text));
        set(o, "expired", json_boolean(v.expired));
        set(o, "match", v.key != NULL || v.judged ? json_boolean(v.key != NULL) : json_null());
        set(o, "handle", number_or_null(v.key != NULL ? v.key->handle : 0));
    }
    doctor_ek_view_free(&v);
    return o;
}

static json_t *ek_key(const struct tt_doctor *d, const struct tt_doctor_ek_key *k)
{
    json_t *o = json_pack("{s:s, s:b, s:b}", "kind", k->name, "own_template", k->own_template, "own_nonce",
                          k->own_nonce);
    set(o, "handle", number_or_null(k->handle));
    set(o, "certificate", number_or_null(doctor_ek_of_key(d, k)));
    return o;
}

static json_t *ek_chain(const struct tt_doctor *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->ek_chain_len; i++) {
        struct tt_cert_info *info = NULL;
        if (tt_cert_describe(&info, d->ek_chain[i], NULL) == TT_OK)
            (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "subject", info->subject, "issuer",
                                                        info->issuer, "sha256", info->sha256));
        tt_cert_info_free(info);
    }
    return list;
}

static json_t *endorsement(const struct tt_doctor *d, const struct doctor_roots *roots)
{
    json_t *certificates = json_array(), *keys = json_array();
    for (size_t i = 0; i < d->eks_len; i++)
        (void)json_array_append_new(certificates, certificate(d, i, roots));
    for (size_t i = 0; i < d->ek_keys_len; i++)
        (void)json_array_append_new(keys, ek_key(d, &d->ek_keys[i]));
    return json_pack("{s:o, s:o, s:o, s:I, s:s, s:s}", "keys", keys, "certificates", certificates, "chain",
                     ek_chain(d), "chain_indexes", (json_int_t)d->ek_chain_indexes, "chain_why",
                     d->ek_chain_why, "why", d->ek_why);
}

static json_t *keys(const struct tt_doctor *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->keys_len; i++) {
        const struct tt_doctor_key *k = &d->keys[i];
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:s}", "type", tt_key_type_name(k->type), "has",
                      k->has, "tried", k->tried, "works", k->works, "create_us", (json_int_t)k->create_us,
                      "load_us", (json_int_t)k->load_us, "sign_us", (json_int_t)k->sign_us, "why", k->why));
    }
    return list;
}

static json_t *latencies(const struct tt_doctor *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->latencies_len; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "command", d->latencies[i].command,
                                                    "count", (json_int_t)d->latencies[i].count, "median_us",
                                                    (json_int_t)d->latencies[i].median_us));
    return list;
}

static void add_chip(json_t *root, const struct tt_doctor *d, const struct doctor_roots *roots)
{
    set(root, "manufacturer", json_string(d->manufacturer));
    set(root, "vendor", json_string(d->vendor));
    set(root, "firmware", json_string(d->firmware));
    set(root, "spec", json_string(d->spec));
    set(root, "kind", json_string(d->kind));
    set(root, "emulated", json_boolean(d->emulated));
    set(root, "manager", json_string(d->manager));
    set(root, "hashes", words(d->hashes.text));
    set(root, "curves", words(d->curves.text));
    set(root, "rsa", words(d->rsa.text));
    set(root, "pss_salt", salt(d));
    set(root, "lockout", lockout(d));
    set(root, "passwords",
        json_pack("{s:b, s:b, s:b}", "owner", d->owner_auth, "endorsement", d->endorsement_auth, "lockout",
                  d->lockout_auth));
    set(root, "srk",
        json_pack("{s:b, s:b, s:b, s:b, s:b}", "at_handle", d->srk_at_handle, "standard", d->srk_right,
                  "derivable", d->srk_known, "usable", d->srk_usable, "counts", d->srk_counts));
    set(root, "ek", endorsement(d, roots));
    set(root, "space", space(d));
    set(root, "clock",
        json_pack("{s:I, s:b, s:I, s:I}", "milliseconds", (json_int_t)d->clock_ms, "safe", d->clock_safe,
                  "resets", (json_int_t)d->reset_count, "restarts", (json_int_t)d->restart_count));
    set(root, "keys", keys(d));
    set(root, "latency", latencies(d));
}

void doctor_print_json(const struct tt_doctor *d, const struct doctor_roots *roots)
{
    json_t *hints = json_array();
    for (size_t i = 0; i < d->hints_len; i++)
        (void)json_array_append_new(hints, json_string(d->hints[i]));
    json_t *root = json_pack("{s:s, s:b, s:b, s:o}", "where", d->where, "reached", d->reached,
                             "tls13_possible", d->possible, "places", places(d));
    if (d->reached)
        add_chip(root, d, roots);
    else
        set(root, "error", json_string(d->error.text));
    set(root, "hints", hints);
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(root);
}
