/* lab/options.c: reading the lab's string. Layer: lab. The grammar is in docs/lab-tcti.md. */
#include "lab/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <tss2/tss2_tpm2_types.h>

#include "lab/mldsa.h"

static tt_rc number_parse(uint32_t *ret, const char *text, struct tt_error *err)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v >= UINT32_MAX)
        return error_set(err, TT_ERR_USAGE, "lab: '%s' is not a number", text);
    *ret = (uint32_t)v;
    return TT_OK;
}

/* ---- faults: ACTION[.VALUE][@COMMAND][#FIRST[-[LAST]]] ---- */

static bool code_by_name(uint32_t *ret, const char *name)
{
    static const struct {
        const char *name;
        uint32_t code;
    } codes[] = {
        {"retry", TPM2_RC_RETRY},
        {"yielded", TPM2_RC_YIELDED},
        {"testing", TPM2_RC_TESTING},
        {"lockout", TPM2_RC_LOCKOUT},
        {"auth_fail", TPM2_RC_AUTH_FAIL | TPM2_RC_S | TPM2_RC_1},
        {"bad_auth", TPM2_RC_BAD_AUTH | TPM2_RC_S | TPM2_RC_1},
        {"policy_fail", TPM2_RC_POLICY_FAIL | TPM2_RC_S | TPM2_RC_1},
        {"integrity", TPM2_RC_INTEGRITY | TPM2_RC_P | TPM2_RC_1},
        {"value", TPM2_RC_VALUE | TPM2_RC_P | TPM2_RC_1},
        {"size", TPM2_RC_SIZE | TPM2_RC_P | TPM2_RC_1},
        {"handle", TPM2_RC_HANDLE | TPM2_RC_H | TPM2_RC_1},
        {"object_memory", TPM2_RC_OBJECT_MEMORY},
        {"session_memory", TPM2_RC_SESSION_MEMORY},
        {"memory", TPM2_RC_MEMORY},
        {"reference_h0", TPM2_RC_REFERENCE_H0},
        {"reference_s0", TPM2_RC_REFERENCE_S0},
        {"nv_rate", TPM2_RC_NV_RATE},
        {"nv_unavailable", TPM2_RC_NV_UNAVAILABLE},
        {"nv_space", TPM2_RC_NV_SPACE},
        {"initialize", TPM2_RC_INITIALIZE},
        {"failure", TPM2_RC_FAILURE},
        {"command_code", TPM2_RC_COMMAND_CODE},
        {"disabled", TPM2_RC_DISABLED},
    };
    for (size_t i = 0; i < TT_COUNT(codes); i++)
        if (strcasecmp(codes[i].name, name) == 0) {
            *ret = codes[i].code;
            return true;
        }
    return false;
}

static tt_rc action_parse(struct lab_fault *f, char *text, struct tt_error *err)
{
    static const struct {
        const char *name;
        enum lab_action action;
    } actions[] = {
        {"drop", LAB_DROP},     {"truncate", LAB_TRUNCATE}, {"shorten", LAB_SHORTEN}, {"garble", LAB_GARBLE},
        {"enomem", LAB_ENOMEM}, {"hang", LAB_HANG},         {"restart", LAB_RESTART},
    };
    f->value = UINT32_MAX;
    f->action = LAB_CODE;
    if (strncasecmp(text, "0x", 2) == 0)
        return number_parse(&f->value, text, err);
    if (code_by_name(&f->value, text))
        return TT_OK;
    char *value = strchr(text, '.');
    if (value != NULL)
        *value++ = '\0';
    for (size_t i = 0; i < TT_COUNT(actions); i++)
        if (strcasecmp(actions[i].name, text) == 0) {
            f->action = actions[i].action;
            return value == NULL ? TT_OK : number_parse(&f->value, value, err);
        }
    return error_set(err, TT_ERR_USAGE,
                     "lab: there is no fault '%s'; drop, truncate, shorten, garble, enomem, hang, restart, a "
                     "response code like 0x922 or its name like retry",
                     text);
}

static tt_rc range_parse(struct lab_fault *f, char *text, struct tt_error *err)
{
    char *dash = strchr(text, '-');
    if (dash != NULL)
        *dash++ = '\0';
    TT_TRY(number_parse(&f->first, text, err));
    f->last = f->first;
    if (dash != NULL && *dash == '\0')
        f->last = UINT32_MAX;
    else if (dash != NULL)
        TT_TRY(number_parse(&f->last, dash, err));
    if (f->first == 0 || f->last < f->first)
        return error_set(err, TT_ERR_USAGE, "lab: a fault counts from 1: #2, #2-4 or #2-");
    return TT_OK;
}

static tt_rc fault_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    if (o->faults_len == LAB_MAX_FAULTS)
        return error_set(err, TT_ERR_USAGE, "lab: more than %d faults", LAB_MAX_FAULTS);
    struct lab_fault f = {.first = 1, .last = 1};
    char *range = strchr(text, '#');
    if (range != NULL)
        *range++ = '\0';
    char *command = strchr(text, '@');
    if (command != NULL)
        *command++ = '\0';
    TT_TRY(action_parse(&f, text, err));
    if (command != NULL && strncasecmp(command, "0x", 2) == 0) {
        TT_TRY(number_parse(&f.command, command, err));
    } else if (command != NULL) {
        const struct lab_kind *kind = lab_kind_by_name(command);
        if (kind == NULL)
            return error_set(err, TT_ERR_USAGE, "lab: there is no command '%s'; Sign, Load ... or 0x15d",
                             command);
        f.command = kind->code;
    }
    if (range != NULL)
        TT_TRY(range_parse(&f, range, err));
    o->faults[o->faults_len++] = f;
    return TT_OK;
}

/* ---- the other options ---- */

static tt_rc lacks_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {{"sha1", LAB_NO_SHA1},       {"sha384", LAB_NO_SHA384},   {"sha512", LAB_NO_SHA512},
                 {"p256", LAB_NO_P256},       {"p384", LAB_NO_P384},       {"p521", LAB_NO_P521},
                 {"rsa2048", LAB_NO_RSA2048}, {"rsa3072", LAB_NO_RSA3072}, {"rsa4096", LAB_NO_RSA4096}};
    char *save = NULL;
    for (char *word = strtok_r(text, "+", &save); word != NULL; word = strtok_r(NULL, "+", &save)) {
        unsigned bit = 0;
        for (size_t i = 0; i < TT_COUNT(names); i++)
            if (strcasecmp(names[i].name, word) == 0)
                bit = names[i].bit;
        if (bit == 0)
            return error_set(
                err, TT_ERR_USAGE,
                "lab: lacks= does not know '%s'; sha1, sha384, sha512, p256, p384, p521, rsa2048, "
                "rsa3072, rsa4096, joined with +",
                word);
        o->lacks |= bit;
    }
    return TT_OK;
}

static tt_rc profile_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    char names[160];
    o->profile = lab_profile_find(text);
    if (o->profile != NULL)
        return TT_OK;
    lab_profile_names(names, sizeof names);
    return error_set(err, TT_ERR_USAGE, "lab: there is no profile '%s'; there are %s", text, names);
}

static tt_rc seed_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    uint32_t v = 0;
    TT_TRY(number_parse(&v, text, err));
    o->seed = v;
    return TT_OK;
}

static tt_rc slots_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    uint32_t v = 0;
    TT_TRY(number_parse(&v, text, err));
    if (v < 1 || v > 64)
        return error_set(err, TT_ERR_USAGE, "lab: slots= is a number from 1 to 64");
    o->slots = v;
    return TT_OK;
}

static tt_rc clock_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    o->virtual_clock = strcmp(text, "virtual") == 0;
    return o->virtual_clock || strcmp(text, "real") == 0
               ? TT_OK
               : error_set(err, TT_ERR_USAGE, "lab: clock= is real or virtual, not '%s'", text);
}

static tt_rc jitter_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    o->jitter = strcmp(text, "on") == 0;
    return o->jitter || strcmp(text, "off") == 0
               ? TT_OK
               : error_set(err, TT_ERR_USAGE, "lab: jitter= is on or off, not '%s'", text);
}

static tt_rc salt_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    o->max_salt = strcmp(text, "max") == 0;
    return o->max_salt || strcmp(text, "digest") == 0
               ? TT_OK
               : error_set(err, TT_ERR_USAGE, "lab: salt= is max or digest, not '%s'", text);
}

static tt_rc mldsa_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    o->mldsa = strcmp(text, "on") == 0;
    if (!o->mldsa && strcmp(text, "off") != 0)
        return error_set(err, TT_ERR_USAGE, "lab: mldsa= is on or off, not '%s'", text);
    return !o->mldsa || lab_mldsa_possible()
               ? TT_OK
               : error_set(err, TT_ERR_USAGE, "lab: mldsa=on needs a libcrypto with ML-DSA (OpenSSL 3.5)");
}

static tt_rc fips_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    o->fips = strcmp(text, "on") == 0;
    return o->fips || strcmp(text, "off") == 0
               ? TT_OK
               : error_set(err, TT_ERR_USAGE, "lab: fips= is on or off, not '%s'", text);
}

static tt_rc report_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    return (size_t)snprintf(o->report, sizeof o->report, "%s", text) < sizeof o->report
               ? TT_OK
               : error_set(err, TT_ERR_USAGE, "lab: the name of the report is too long");
}

static tt_rc option_parse(struct lab_options *o, char *text, struct tt_error *err)
{
    static const struct {
        const char *name;
        tt_rc (*parse)(struct lab_options *o, char *value, struct tt_error *err);
    } options[] = {
        {"profile", profile_parse}, {"fault", fault_parse}, {"lacks", lacks_parse},   {"slots", slots_parse},
        {"salt", salt_parse},       {"fips", fips_parse},   {"mldsa", mldsa_parse},   {"seed", seed_parse},
        {"jitter", jitter_parse},   {"clock", clock_parse}, {"report", report_parse},
    };
    char *value = strchr(text, '=');
    if (value != NULL)
        *value++ = '\0';
    for (size_t i = 0; i < TT_COUNT(options); i++)
        if (value != NULL && strcmp(options[i].name, text) == 0)
            return options[i].parse(o, value, err);
    return error_set(
        err, TT_ERR_USAGE,
        "lab: there is no option '%s%s'; profile=, fault=, lacks=, slots=, salt=, fips=, mldsa=, seed=, "
        "jitter=, clock=, report=",
        text, value == NULL ? "" : "=");
}

tt_rc lab_options_parse(struct lab_options *ret, const char *text, struct tt_error *err)
{
    struct lab_options o = {.seed = 1, .jitter = true};
    char copy[1024];
    if ((size_t)snprintf(copy, sizeof copy, "%s", text == NULL ? "" : text) >= sizeof copy)
        return error_set(err, TT_ERR_USAGE, "lab: the string is too long");
    char *inner = strchr(copy, ':');
    if (inner != NULL)
        *inner++ = '\0';
    if ((size_t)snprintf(o.inner, sizeof o.inner, "%s", inner == NULL ? "" : inner) >= sizeof o.inner)
        return error_set(err, TT_ERR_USAGE, "lab: the inner TCTI's string is too long");
    char *save = NULL;
    for (char *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save))
        TT_TRY(option_parse(&o, word, err));
    if (o.profile != NULL && !o.profile->has_sha384)
        o.lacks |= LAB_NO_SHA384;
    *ret = o;
    return TT_OK;
}
