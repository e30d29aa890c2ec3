/* cli/attest_policy.c: see attest_policy.h. Layer: cli. */
#include "cli/attest_policy.h"

#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "net/files.h"

/* struct policy_file: its keys, as an option table has them. */
struct policy_file {
    struct option_list roots, eks, manufacturers, firmware, digests;
    const char *pcrs;
};
#define TO(member) OPTION_TO(struct policy_file, member)

static const struct option_row rows[] = {
    {"ek-roots", "FILE", "certificates of TPM vendors, PEM", TO(roots), .max = 16,
     .needed = "whose TPMs? ek-roots = FILE"},
    {"ek", "TYPE",
     "the endorsement key is of this type, as certificates for it are: rsa2048, p256, ...; none: any",
     TO(eks), .max = 6},
    {"manufacturer", "NAME", "the TPM's, as its certificate says: IFX, INTC, STM, ...; none: any",
     TO(manufacturers), .max = 64},
    {"firmware", "VERSION", "IFX:7.85 (at least), or 16 hexadecimal digits (exactly); none: any",
     TO(firmware), .max = 64},
    {"pcrs", "PCRS", "these have to be quoted, such as sha256:0,7", TO(pcrs)},
    {"pcr-digest", "HEX", "SHA-256 of their values: one of these; none: any", TO(digests), .max = 64,
     .needs = "pcrs"},
    {0},
};
static const struct option_part parts[] = {{NULL, rows, 0}, {0}};

#define TEXTS_MAX 300
#define ROOT_PATH 4096

/* struct reading: the file on its way. */
struct reading {
    struct options options;
    struct policy_file file;
    char *texts[TEXTS_MAX]; /* what options point to */
    size_t texts_len;
    unsigned line;
    FILE *from;
    struct tt_error err;
};

static char *next_line(char *ret, int cap, void *stream)
{
    struct reading *r = stream;
    r->line++;
    return fgets(ret, cap, r->from);
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    char *kept = r->texts_len < TEXTS_MAX ? mem_strdup(value) : NULL;
    if (kept == NULL)
        (void)error_set(&r->err, TT_ERR_MEMORY, "line %u: it is too long", r->line);
    else if (section[0] != '\0')
        (void)error_set(&r->err, TT_ERR_USAGE, "line %u: there are no sections in an attestation policy",
                        r->line);
    else if (options_take_key(&r->options, name, kept, &r->err) != TT_OK)
        error_hint(&r->err, "line %u; the keys are ek-roots, ek, manufacturer, firmware, pcrs and pcr-digest",
                   r->line);
    if (kept != NULL)
        r->texts[r->texts_len++] = kept;
    return r->err.rc == TT_OK;
}

static tt_rc policy_read(struct reading *r, const char *path, struct tt_error *err)
{
    options_begin(&r->options, parts, &r->file, "");
    r->from = fopen(path, "re");
    if (r->from == NULL)
        return error_set(err, TT_ERR_IO, "cannot read the attestation policy %s", path);
    int bad = ini_parse_stream(next_line, r, on_key, r);
    (void)fclose(r->from);
    if (r->err.rc == TT_OK && bad > 0)
        (void)error_set(&r->err, TT_ERR_USAGE, "line %d: this is not key = value", bad);
    if (r->err.rc == TT_OK && options_check(&r->options, &r->err) == TT_OK)
        return TT_OK;
    (void)error_set(err, r->err.rc, "%s: %s", path, r->err.text);
    error_hint(err, "%s", r->err.hint[0] != '\0' ? r->err.hint : "docs/attestation.md says what is in it");
    return r->err.rc;
}

/* A path that is not whole is meant from where the policy lies. */
static bool root_path(char ret[ROOT_PATH], const char *policy, const char *path)
{
    const char *slash = strrchr(policy, '/');
    int n = path[0] == '/' || slash == NULL
                ? snprintf(ret, ROOT_PATH, "%s", path)
                : snprintf(ret, ROOT_PATH, "%.*s/%s", (int)(slash - policy), policy, path);
    return n >= 0 && n < ROOT_PATH;
}

static tt_rc root_read(char **ret, size_t *ret_len, const char *policy, const char *path,
                       struct tt_error *err)
{
    char whole[ROOT_PATH];
    if (!root_path(whole, policy, path)) {
        (void)error_set(err, TT_ERR_USAGE, "the path %s is too long", path);
        return TT_ERR_USAGE;
    }
    return cli_read_file(ret, ret_len, whole, err);
}

static tt_rc roots_read(char **ret, const struct policy_file *f, const char *policy, struct tt_error *err)
{
    char *all = mem_strdup("");
    if (all == NULL) {
        (void)error_set(err, TT_ERR_MEMORY, "out of memory");
        return TT_ERR_MEMORY;
    }
    for (size_t i = 0; i < f->roots.len; i++) {
        TT_AUTO(mem_free_auto) char *one = NULL;
        size_t len = 0, so_far = strlen(all);
        tt_rc rc = root_read(&one, &len, policy, f->roots.at[i], err);
        char *longer = rc == TT_OK ? mem_resize(all, so_far + len + 2) : NULL;
        if (rc == TT_OK && longer == NULL) {
            (void)error_set(err, TT_ERR_MEMORY, "out of memory");
            rc = TT_ERR_MEMORY;
        }
        if (rc != TT_OK) {
            mem_free(all);
            return rc;
        }
        all = longer;
        memcpy(all + so_far, one, len);
        memcpy(all + so_far + len, "\n", 2);
    }
    *ret = all;
    return TT_OK;
}

static tt_rc policy_make(struct tt_attest_policy **ret, const struct policy_file *f, const char *path,
                         struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    struct tt_cert_list *roots = NULL;
    TT_TRY(roots_read(&pem, f, path, err));
    TT_TRY(tt_cert_list_from_pem(&roots, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, err));
    const struct tt_attest_policy_params params = {.roots = roots,
                                                   .eks = f->eks.at,
                                                   .eks_len = f->eks.len,
                                                   .manufacturers = f->manufacturers.at,
                                                   .manufacturers_len = f->manufacturers.len,
                                                   .firmware = f->firmware.at,
                                                   .firmware_len = f->firmware.len,
                                                   .pcrs = f->pcrs,
                                                   .pcr_digests = f->digests.at,
                                                   .pcr_digests_len = f->digests.len};
    tt_rc rc = tt_attest_policy_new(ret, &params, err);
    tt_cert_list_free(roots);
    return rc;
}

void attest_policy_files(const char *path, void (*fn)(void *arg, const char *file), void *arg)
{
    struct reading *r = path != NULL ? mem_alloc(sizeof *r) : NULL;
    struct tt_error unread = {0};
    char whole[ROOT_PATH];
    if (r == NULL)
        return;
    fn(arg, path);
    if (policy_read(r, path, &unread) == TT_OK)
        for (size_t i = 0; i < r->file.roots.len; i++)
            if (root_path(whole, path, r->file.roots.at[i]))
                fn(arg, whole);
    for (size_t i = 0; i < r->texts_len; i++)
        mem_free(r->texts[i]);
    mem_free(r);
}

tt_rc attest_policy_read(struct tt_attest_policy **ret, const char *path, struct tt_error *err)
{
    struct reading *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    tt_rc rc = policy_read(r, path, err);
    if (rc == TT_OK)
        rc = policy_make(ret, &r->file, path, err);
    for (size_t i = 0; i < r->texts_len; i++)
        mem_free(r->texts[i]);
    mem_free(r);
    return rc;
}

tt_rc attest_key_draw(uint8_t ret[TT_ATTEST_KEY_SIZE], struct tt_error *err)
{
    return getentropy(ret, TT_ATTEST_KEY_SIZE) == 0
               ? TT_OK
               : error_set(err, TT_ERR_IO, "the system gives no randomness");
}

tt_rc attest_key_read(uint8_t ret[TT_ATTEST_KEY_SIZE], const char *path, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    /* Who knows it makes up nonces, and answers to challenges that no TPM was asked. */
    TT_TRY(file_read_owned_text(&text, &len, FILE_SECRET, path, err));
    if (!cli_from_hex(text, &len) || len != TT_ATTEST_KEY_SIZE) {
        (void)error_set(err, TT_ERR_DECODE, "%s holds no key of an attestation server", path);
        error_hint(err, "it is 64 hexadecimal digits: `openssl rand -hex 32`");
        return TT_ERR_DECODE;
    }
    memcpy(ret, text, TT_ATTEST_KEY_SIZE);
    return TT_OK;
}
