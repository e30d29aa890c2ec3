/* cli/cmd_attest.c: `tpmtls attest`: evidence that a key is in a genuine TPM: made, challenged, explained,
 * judged. Layer: cli. enroll and proxy do the same by themselves. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/attest_policy.h"
#include "cli/command.h"
#include "cli/evidence_print.h"
#include "cli/term.h"

struct attest_options {
    const char *file, *key, *nonce, *pcrs, *ek, *ek_cert, *answer, *out;
    const char *policy, *token_key, *about;
    bool force;
};

#define TO(member) OPTION_TO(struct attest_options, member)

static struct tt_bytes text_bytes(const char *text, size_t len)
{
    return (struct tt_bytes){(const uint8_t *)text, len};
}

/* ---- what is given ---- */

static tt_rc nonce_take(uint8_t ret[TT_ATTEST_NONCE], const char *text, struct tt_error *err)
{
    char copy[2 * TT_ATTEST_NONCE + 1];
    size_t len = (size_t)snprintf(copy, sizeof copy, "%s", text);
    if (len >= sizeof copy || !cli_from_hex(copy, &len) || len != TT_ATTEST_NONCE) {
        (void)error_set(err, TT_ERR_USAGE, "--nonce '%s' is not a nonce", text);
        error_hint(err, "it is 64 hexadecimal digits, and comes from whoever judges: `tpmtls attest nonce`");
        return TT_ERR_USAGE;
    }
    memcpy(ret, copy, TT_ATTEST_NONCE);
    return TT_OK;
}

static tt_rc form_read(uint8_t **ret, size_t *ret_len, enum tt_attest_form form, const char *path,
                       struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    struct tt_error why = {0};
    TT_TRY(cli_read_file(&text, &len, path, err));
    tt_rc rc = tt_attest_from_text(ret, ret_len, form, text_bytes(text, len), &why);
    if (rc == TT_OK)
        return TT_OK;
    (void)error_set(err, rc, "%s: %s", path, why.text);
    error_hint(err, "%s", why.hint);
    return rc;
}

static tt_rc form_write(const struct attest_options *o, enum tt_attest_form form, struct tt_bytes der,
                        struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_TRY(tt_attest_to_pem(&pem, form, der, err));
    return cli_write_file(o->out, text_bytes(pem, strlen(pem)),
                          (struct file_want){0644, o->force ? FILE_FORCE : FILE_REPLACE}, err);
}

/* ---- nonce ---- */

static int nonce_run(const struct cli *cli, void *options)
{
    const struct attest_options *o = options;
    struct tt_error err = {0};
    struct tt_attest_policy *policy = NULL;
    uint8_t key[TT_ATTEST_KEY_SIZE], nonce[TT_ATTEST_NONCE];
    const struct tt_attest_policy_params none = {.pcrs = NULL};
    tt_rc rc = attest_key_read(key, o->token_key, &err);
    if (rc == TT_OK)
        rc = tt_attest_policy_new(&policy, &none, &err);
    if (rc == TT_OK)
        rc = tt_attest_nonce(nonce, policy, key, (int64_t)time(NULL), &err);
    mem_wipe(key, sizeof key);
    tt_attest_policy_free(policy);
    (void)cli;
    if (rc != TT_OK)
        return cli_fail(&err);
    for (size_t i = 0; i < sizeof nonce; i++)
        printf("%02x", nonce[i]);
    (void)putchar('\n');
    return CLI_OK;
}

/* ---- make ---- */

/* struct making: what evidence is made from. */
struct making {
    struct cli_key key;
    struct tt_attester *attester;
    uint8_t nonce[TT_ATTEST_NONCE];
};

static void making_end(struct making *m)
{
    tt_attester_free(m->attester);
    cli_close_key(&m->key);
}

static tt_rc attester_open(struct making *m, const struct attest_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    if (o->ek_cert != NULL)
        TT_TRY(cli_read_file(&pem, &len, o->ek_cert, err));
    const struct tt_attester_params params = {.ek = o->ek, .ek_certificates = text_bytes(pem, len)};
    return cli_tpm_says(tt_attester_open(&m->attester, m->key.tpm, &params, err), err);
}

static tt_rc evidence_make(struct making *m, const struct attest_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) uint8_t *challenge = NULL;
    TT_AUTO(mem_free_auto) uint8_t *der = NULL;
    size_t challenge_len = 0, len = 0;
    struct tt_evidence e;
    const struct tt_attest_request req = {TT_ATTEST_ENROL, {m->nonce, sizeof m->nonce}, o->pcrs};
    if (o->answer != NULL)
        TT_TRY(form_read(&challenge, &challenge_len, TT_ATTEST_CHALLENGE, o->answer, err));
    TT_TRY(tt_attester_attest(&e, m->attester, m->key.key, &req, err));
    if (o->answer != NULL)
        TT_TRY(tt_attester_answer(&e, m->attester, (struct tt_bytes){challenge, challenge_len}, err));
    TT_TRY(tt_evidence_write(&der, &len, &e, err));
    return form_write(o, TT_ATTEST_EVIDENCE, (struct tt_bytes){der, len}, err);
}

static tt_rc make(const struct attest_options *o, const struct cli *cli, struct tt_error *err)
{
    TT_AUTO(making_end) struct making m = {.attester = NULL};
    TT_TRY(nonce_take(m.nonce, o->nonce, err));
    TT_TRY(cli_open_key(&m.key, cli, o->key, err));
    if (m.key.tpm == NULL) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "%s is a software key: no TPM can attest it", o->key);
        error_hint(err, "make one in the TPM: `tpmtls key create`");
        return TT_ERR_UNSUPPORTED;
    }
    TT_TRY(attester_open(&m, o, err));
    return evidence_make(&m, o, err);
}

static int make_run(const struct cli *cli, void *options)
{
    const struct attest_options *o = options;
    struct tt_error err = {0};
    if (make(o, cli, &err) != TT_OK)
        return cli_fail(&err);
    cli_wrote(o->out, o->answer != NULL ? "evidence with the answer to a challenge"
                                        : "evidence; `tpmtls attest show` explains it");
    return CLI_OK;
}

/* ---- ek ---- */

static tt_rc ek(const struct attest_options *o, const struct cli *cli, struct tt_error *err)
{
    TT_AUTO(making_end) struct making m = {.attester = NULL};
    TT_AUTO(mem_free_auto) uint8_t *spki = NULL;
    size_t len = 0;
    const struct tt_attester_params params = {.ek = o->ek, .uncertified = true};
    TT_TRY(cli_open_tpm(&m.key.tpm, cli, err));
    TT_TRY(cli_tpm_says(tt_attester_open(&m.attester, m.key.tpm, &params, err), err));
    TT_TRY(cli_tpm_says(tt_attester_endorsement(&spki, &len, m.attester, err), err));
    return form_write(o, TT_ATTEST_PUBLIC_KEY, (struct tt_bytes){spki, len}, err);
}

static int ek_run(const struct cli *cli, void *options)
{
    const struct attest_options *o = options;
    struct tt_error err = {0};
    if (ek(o, cli, &err) != TT_OK)
        return cli_fail(&err);
    cli_wrote(o->out, "the public half of the TPM's endorsement key");
    return CLI_OK;
}

/* ---- show ---- */

static tt_rc show(const struct attest_options *o, const struct cli *cli, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) uint8_t *der = NULL;
    size_t len = 0;
    struct tt_evidence e;
    TT_TRY(form_read(&der, &len, TT_ATTEST_EVIDENCE, o->file, err));
    TT_TRY(tt_evidence_read(&e, (struct tt_bytes){der, len}, err));
    json_t *json = cli->json ? json_object() : NULL;
    evidence_print(&e, json);
    if (json != NULL) {
        (void)json_dumpf(json, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(json);
    }
    return TT_OK;
}

static int show_run(const struct cli *cli, void *options)
{
    struct tt_error err = {0};
    return show(options, cli, &err) == TT_OK ? CLI_OK : cli_fail(&err);
}

/* ---- verify, challenge ---- */

/* struct judging: what evidence is judged by. */
struct judging {
    struct tt_attest_policy *policy;
    uint8_t *der, *spki;
    size_t len, spki_len;
    uint8_t key[TT_ATTEST_KEY_SIZE], nonce[TT_ATTEST_NONCE];
    struct tt_attest_want want;
};

static void judging_end(struct judging *j)
{
    tt_attest_policy_free(j->policy);
    mem_free(j->der);
    mem_free(j->spki);
    mem_wipe(j->key, sizeof j->key);
}

/* A request that brings evidence says itself for which key. */
static tt_rc about_read(struct judging *j, const struct attest_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    bool named = o->about != NULL;
    TT_TRY(cli_read_file(&text, &len, named ? o->about : o->file, err));
    tt_rc rc = tt_spki_of(&j->spki, &j->spki_len, text_bytes(text, len), named ? err : NULL);
    if (rc != TT_OK && named)
        return rc;
    j->want.spki = (struct tt_bytes){j->spki, j->spki_len};
    return TT_OK;
}

static tt_rc judging_begin(struct judging *j, const struct attest_options *o, struct tt_error *err)
{
    j->want = (struct tt_attest_want){.use = TT_ATTEST_ENROL, .now = (int64_t)time(NULL)};
    TT_TRY(attest_policy_read(&j->policy, o->policy, err));
    TT_TRY(form_read(&j->der, &j->len, TT_ATTEST_EVIDENCE, o->file, err));
    TT_TRY(about_read(j, o, err));
    if (o->token_key != NULL) {
        TT_TRY(attest_key_read(j->key, o->token_key, err));
        j->want.key = j->key;
    }
    if (o->nonce != NULL) {
        TT_TRY(nonce_take(j->nonce, o->nonce, err));
        j->want.nonce = (struct tt_bytes){j->nonce, sizeof j->nonce};
    }
    return TT_OK;
}

static json_t *hex_json(const uint8_t *at, size_t len)
{
    char text[2 * 66 + 1] = "";
    for (size_t i = 0; i < len && i < 66; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", at[i]);
    return json_string(text);
}

static void verdict_json(const struct tt_attest_verdict *v)
{
    char attributes[200], firmware[20];
    tt_attributes_text(attributes, sizeof attributes, v->key_attributes);
    (void)snprintf(firmware, sizeof firmware, "%016llx", (unsigned long long)v->firmware);
    json_t *o = json_pack(
        "{s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b, s:b, s:b}", "good",
        v->reason == TT_ATTEST_GOOD, "reason", tt_attest_reason_name(v->reason), "text", v->text,
        "manufacturer", v->manufacturer, "model", v->model, "version", v->version, "ek_sha256", v->ek_sha256,
        "ek_issuer", v->ek_issuer, "ek_serial", v->ek_serial, "key_attributes", attributes, "firmware",
        firmware, "clock_ms", (json_int_t)v->clock_ms, "resets", (json_int_t)v->resets, "restarts",
        (json_int_t)v->restarts, "safe", v->safe, "counters_are_true", v->counters_are_true, "quoted",
        v->quoted, "proved", v->proved);
    (void)json_object_set_new(o, "key_name", hex_json(v->key_name, v->key_name_len));
    (void)json_object_set_new(o, "ak_name", hex_json(v->ak_name, v->ak_name_len));
    (void)json_dumpf(o, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(o);
}

static void verdict_text(const struct tt_attest_verdict *v, const struct attest_options *o, const char *pcrs)
{
    bool good = v->reason == TT_ATTEST_GOOD;
    printf("%-16s%s%s%s\n", "verdict:", term_on(good ? TERM_GOOD : TERM_BAD),
           good ? "good" : tt_attest_reason_name(v->reason), term_off());
    if (!good)
        printf("%-16s%s\n", "why:", v->text);
    if (v->manufacturer[0] != '\0' || v->ek_issuer[0] != '\0')
        printf("%-16s%s %s %s, certified by %s\n", "TPM:", v->manufacturer, v->model, v->version,
               v->ek_issuer);
    if (v->ek_sha256[0] != '\0')
        printf("%-16ssha256:%s\n", "identity:", v->ek_sha256);
    if (!good)
        return;
    printf(
        "%-16s%u.%u%s\n", "firmware:", (unsigned)(v->firmware >> 48), (unsigned)(v->firmware >> 32 & 0xffff),
        v->counters_are_true ? "" : " (obfuscated: the attestation key is not in the endorsement hierarchy)");
    printf("%-16s%s\n", "key:", "made in this TPM, and cannot leave it");
    printf("%-16s%s\n", "nonce:",
           o->nonce != NULL       ? "the one that was given"
           : o->token_key != NULL ? "one of ours, not too old"
                                  : "NOT JUDGED: anybody's, of any age");
    printf("%-16s%s\n", "both keys:",
           v->proved ? "in one TPM: a challenge was answered" : "NOT JUDGED: no challenge was answered");
    printf("%-16s%s\n", "PCRs:",
           !v->quoted     ? "not quoted"
           : pcrs != NULL ? "quoted, and as the policy wants"
                          : "quoted; the policy demands none");
}

static int verify_run(const struct cli *cli, void *options)
{
    const struct attest_options *o = options;
    struct tt_error err = {0};
    TT_AUTO(judging_end) struct judging j = {.policy = NULL};
    struct tt_attest_verdict v;
    if (judging_begin(&j, o, &err) != TT_OK)
        return cli_fail(&err);
    tt_rc rc = tt_attest_judge(&v, j.policy, (struct tt_bytes){j.der, j.len}, &j.want, &err);
    if (rc != TT_OK && rc != TT_ERR_VERIFY)
        return cli_fail(&err);
    if (cli->json)
        verdict_json(&v);
    else
        verdict_text(&v, o, tt_attest_policy_pcrs(j.policy));
    return rc == TT_OK ? CLI_OK : CLI_NOT_TRUSTED;
}

static int challenge_run(const struct cli *cli, void *options)
{
    const struct attest_options *o = options;
    struct tt_error err = {0};
    TT_AUTO(judging_end) struct judging j = {.policy = NULL};
    TT_AUTO(mem_free_auto) uint8_t *der = NULL;
    size_t len = 0;
    struct tt_attest_verdict v;
    (void)cli;
    tt_rc rc = judging_begin(&j, o, &err);
    if (rc == TT_OK)
        rc = tt_attest_challenge(&der, &len, &v, j.policy, (struct tt_bytes){j.der, j.len}, &j.want, &err);
    if (rc == TT_OK)
        rc = form_write(o, TT_ATTEST_CHALLENGE, (struct tt_bytes){der, len}, &err);
    if (rc != TT_OK)
        return cli_fail(&err);
    cli_wrote(o->out, "a challenge that the TPM of the evidence can answer: `tpmtls attest make --answer`");
    return CLI_OK;
}

/* ---- the tables ---- */

#define OUT_ROW                                                                                              \
    {                                                                                                        \
        "out", "FILE", "where it goes; default: standard output", TO(out), .letter = 'o',                    \
                                                                           .elsewhere = "output"             \
    }
#define POLICY_ROW                                                                                           \
    {                                                                                                        \
        "policy", "FILE",                                                                                    \
            "what is demanded: vendors' roots (ek-roots = FILE), manufacturers, firmware, PCRs", TO(policy), \
            .needed = "whose TPMs are good? --policy"                                                        \
    }
#define TOKEN_KEY_TEXT "the secret under which nonces and challenges are sealed: 64 hexadecimal digits"

static const struct option_row nonce_rows[] = {
    {"token-key", "FILE", TOKEN_KEY_TEXT, TO(token_key), .needed = "sealed under which secret?"},
    {0},
};
static const struct option_row make_rows[] = {
    {"key", "KEY", "the key that is attested: a TSS2 PRIVATE KEY file or handle:0x81...", TO(key),
     .needed = "which key?"},
    {"nonce", "HEX", "what whoever judges has given out: 64 hexadecimal digits", TO(nonce),
     .needed = "about which nonce?"},
    {"pcr", "PCRS", "quote these, too, such as sha256:0,2,7", TO(pcrs)},
    {"ek", "TEMPLATE", "with this endorsement key; default: the one that has a certificate", TO(ek),
     .words = "L-1 L-2 H-1 H-2 H-3 H-4 H-6 H-7"},
    {"ek-cert", "FILE", "its certificate, and more of its chain, where the TPM has none (PEM or DER)",
     TO(ek_cert)},
    {"answer", "FILE", "answer this challenge, with the nonce of before", TO(answer)},
    OUT_ROW,
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_row ek_rows[] = {
    {"ek", "TEMPLATE", "which one; default: L-2 (P-256)", TO(ek), .words = "L-1 L-2 H-1 H-2 H-3 H-4 H-6 H-7"},
    OUT_ROW,
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_row show_rows[] = {
    {NULL, "FILE", "evidence, or a certificate request that brings some", TO(file),
     .needed = "which evidence?"},
    {0},
};
static const struct option_row verify_rows[] = {
    {NULL, "FILE", "evidence, or a certificate request that brings some", TO(file),
     .needed = "which evidence?"},
    POLICY_ROW,
    {"nonce", "HEX", "it has to be about this nonce", TO(nonce)},
    {"token-key", "FILE", TOKEN_KEY_TEXT "; then a challenge has to be answered, too", TO(token_key)},
    {"about", "FILE",
     "it has to be about the key of this certificate, request or PUBLIC KEY; default: that of the request",
     TO(about)},
    {0},
};
static const struct option_row challenge_rows[] = {
    {NULL, "FILE", "evidence", TO(file), .needed = "which evidence?"},
    POLICY_ROW,
    {"token-key", "FILE", TOKEN_KEY_TEXT, TO(token_key), .needed = "sealed under which secret?"},
    {"nonce", "HEX", "it has to be about this nonce", TO(nonce)},
    OUT_ROW,
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_part nonce_parts[] = {{NULL, nonce_rows, 0}, {0}};
static const struct option_part make_parts[] = {{NULL, make_rows, 0}, {0}};
static const struct option_part ek_parts[] = {{NULL, ek_rows, 0}, {0}};
static const struct option_part show_parts[] = {{NULL, show_rows, 0}, {0}};
static const struct option_part verify_parts[] = {{NULL, verify_rows, 0}, {0}};
static const struct option_part challenge_parts[] = {{NULL, challenge_rows, 0}, {0}};

static const struct command command_nonce = {
    .name = "nonce",
    .summary = "give out a nonce that is known again for ten minutes",
    .example = "  tpmtls attest nonce --token-key token.key",
    .parts = nonce_parts,
    .size = sizeof(struct attest_options),
    .run = nonce_run,
};
static const struct command command_make = {
    .name = "make",
    .summary = "have the TPM attest one of its keys",
    .about = "The TPM certifies the key with an attestation key, which it derives beside its endorsement key "
             "for that moment; "
             "nothing stays in it. The evidence has the certificate of the endorsement key, which tells this "
             "TPM from all "
             "others: give it to those who may know.",
    .example = "  tpmtls attest make --key attested.key --ek-cert ek.pem --nonce $(tpmtls attest nonce "
               "--token-key token.key) "
               "-o device.evidence",
    .parts = make_parts,
    .size = sizeof(struct attest_options),
    .run = make_run,
};
static const struct command command_ek = {
    .name = "ek",
    .summary = "write the public endorsement key, for whoever certifies it",
    .about = "For a TPM that its vendor has given no certificate: whoever has it in hand can issue one "
             "(extended key "
             "usage 2.23.133.8.1), which is then given with --ek-cert.",
    .example = "  tpmtls attest ek -o ek.pub",
    .parts = ek_parts,
    .size = sizeof(struct attest_options),
    .run = ek_run,
};
static const struct command command_show = {
    .name = "show",
    .summary = "explain evidence, line by line, without judging it",
    .example = "  tpmtls attest show device.evidence",
    .parts = show_parts,
    .size = sizeof(struct attest_options),
    .run = show_run,
};
static const struct command command_verify = {
    .name = "verify",
    .summary = "judge evidence; needs no TPM",
    .about = "Exit code 3: it is not good, and why. Without --nonce or --token-key it may be of any age, and "
             "without "
             "--token-key nothing shows that both of its keys are in one TPM; both is said.",
    .example = "  tpmtls attest verify device.evidence --policy policy.ini",
    .parts = verify_parts,
    .size = sizeof(struct attest_options),
    .run = verify_run,
};
static const struct command command_challenge = {
    .name = "challenge",
    .summary = "make a challenge that only the TPM of the evidence can answer",
    .about = "The evidence is judged first. Nothing has to be kept: what the answer must be is sealed in the "
             "challenge.",
    .example = "  tpmtls attest challenge device.evidence --policy policy.ini --token-key token.key -o "
               "device.challenge",
    .parts = challenge_parts,
    .size = sizeof(struct attest_options),
    .run = challenge_run,
};

static const struct command *const subcommands[] = {
    &command_make, &command_ek, &command_show, &command_verify, &command_challenge, &command_nonce, NULL};

const struct command command_attest = {
    .name = "attest",
    .summary = "prove that a key is in a genuine TPM, and judge such proofs",
    .about = "docs/attestation.md says what is proved, by what, and has the reasons for which evidence is "
             "refused. enroll and "
             "proxy do these steps by themselves.",
    .subcommands = subcommands,
};
