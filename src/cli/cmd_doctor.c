/* cli/cmd_doctor.c: `tpmtls doctor`: one page about a TPM that a person can act on. Layer: cli. Everything on
 * it comes from tt_doctor_examine; here it is only laid out. Exit code 0: a TLS 1.3 identity is possible, 4:
 * it is not. */
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/doctor.h"
#include "cli/term.h"
#include "tpmtls/doctor.h"
#include "tpmtls/pki.h"

struct doctor_options {
    bool quick;
    const char *roots;
};

/* ---- the endorsement certificates ---- */

void doctor_ek_view_free(struct doctor_ek_view *v)
{
    tt_cert_info_free(v->info);
}

static bool issued_for(const struct tt_doctor_ek *ek, const struct tt_doctor_ek_key *key)
{
    return ek->der != NULL && key->spki != NULL &&
           tt_cert_matches_key((struct tt_bytes){ek->der, ek->der_len},
                               (struct tt_bytes){key->spki, key->spki_len});
}

uint32_t doctor_ek_of_key(const struct tt_doctor *d, const struct tt_doctor_ek_key *key)
{
    for (size_t i = 0; i < d->eks_len; i++)
        if (issued_for(&d->eks[i], key))
            return d->eks[i].nv_index;
    return 0;
}

static void pair(struct doctor_ek_view *v, const struct tt_doctor *d, const struct tt_doctor_ek *ek)
{
    v->judged = d->ek_why[0] == '\0';
    for (size_t i = 0; i < d->ek_keys_len && v->key == NULL; i++)
        if (issued_for(ek, &d->ek_keys[i]))
            v->key = &d->ek_keys[i];
}

struct doctor_ek_view doctor_ek_view(const struct tt_doctor *d, size_t i, const struct doctor_roots *roots)
{
    const struct tt_doctor_ek *ek = &d->eks[i];
    struct doctor_ek_view v = {.chain = "not asked for"};
    struct tt_bytes der = {ek->der, ek->der_len};
    struct tt_error err = {0};
    if (ek->der == NULL || tt_cert_describe(&v.info, der, &err) != TT_OK) {
        v.info = NULL;
        v.chain = ek->why[0] != '\0' ? ek->why : "not a certificate";
        return v;
    }
    pair(&v, d, ek);
    v.expired = v.info->not_after < roots->now;
    if (roots->list == NULL)
        return v;
    struct tt_cert_list through = {(struct tt_bytes *)(uintptr_t)d->ek_chain, d->ek_chain_len};
    v.untrusted = tt_cert_leads_to_through(der, &through, roots->list, roots->now, &err) != TT_OK;
    v.chain = v.untrusted ? "does not lead to a root that was given" : "leads to a root that was given";
    return v;
}

static void hint_certificate(struct tt_doctor *d, const struct doctor_ek_view *v,
                             const struct tt_doctor_ek *ek)
{
    if (v->info == NULL && ek->der == NULL)
        tt_doctor_hint(d, "NV index 0x%08x should hold an endorsement certificate: %s", ek->nv_index,
                       v->chain);
    else if (v->info == NULL)
        tt_doctor_hint(d, "NV index 0x%08x should hold an endorsement certificate, and does not",
                       ek->nv_index);
    else if (v->expired)
        tt_doctor_hint(d, "the endorsement certificate at 0x%08x expired on %s", ek->nv_index,
                       v->info->not_after_text);
    else if (v->untrusted)
        tt_doctor_hint(d, "the endorsement certificate at 0x%08x leads to no root of the file", ek->nv_index);
    if (v->info != NULL && v->key == NULL && v->judged)
        tt_doctor_hint(d,
                       "the endorsement certificate at 0x%08x is of no endorsement key of this TPM: whoever "
                       "asks the TPM to prove it (TPM2_ActivateCredential) will be refused",
                       ek->nv_index);
}

static void hint_certificates(struct tt_doctor *d, const struct doctor_roots *roots)
{
    for (size_t i = 0; i < d->eks_len; i++) {
        struct doctor_ek_view v = doctor_ek_view(d, i, roots);
        hint_certificate(d, &v, &d->eks[i]);
        doctor_ek_view_free(&v);
    }
    if (d->ek_chain_why[0] != '\0')
        tt_doctor_hint(d, "the chain of the endorsement certificate (0x01c00100 and on) is not whole: %s",
                       d->ek_chain_why);
}

/* ---- the command ---- */

static tt_rc read_roots(struct tt_cert_list **ret, const char *path, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    if (path == NULL)
        return TT_OK;
    TT_TRY(cli_read_file(&text, &len, path, err));
    return tt_cert_list_from_pem(ret, (struct tt_bytes){(const uint8_t *)text, len}, err);
}

static const char *tpm_choice(const struct cli *cli)
{
    const char *from_environment = getenv("TPMTLS_TPM");
    if (cli->tpm != NULL)
        return cli->tpm;
    return from_environment != NULL && from_environment[0] != '\0' ? from_environment : NULL;
}

static int run(const struct cli *cli, void *options)
{
    const struct doctor_options *o = options;
    struct tt_error err = {0};
    struct tt_doctor *d = NULL;
    struct tt_cert_list *list = NULL;
    struct tt_doctor_request req = {
        .spec = tpm_choice(cli), .quick = o->quick, .patience_ms = cli_patience_ms(cli)};
    TT_AUTO(cli_password_free) struct cli_password owner = {.given = false};
    TT_AUTO(cli_password_free) struct cli_password endorsement = {.given = false};
    if (cli_owner_password(&owner, cli, &err) != TT_OK ||
        cli_endorsement_password(&endorsement, cli, &err) != TT_OK ||
        read_roots(&list, o->roots, &err) != TT_OK)
        return cli_fail(&err);
    req.owner_password = cli_password_of(&owner);
    req.endorsement_password = cli_password_of(&endorsement);
    term_busy("looking at the TPM, and trying each type of key", cli->json);
    tt_rc rc = tt_doctor_examine(&d, &req, &err);
    term_done();
    if (rc != TT_OK) {
        tt_cert_list_free(list);
        return cli_fail(&err);
    }
    struct doctor_roots roots = {.list = list, .now = (int64_t)time(NULL)};
    hint_certificates(d, &roots);
    if (cli->json)
        doctor_print_json(d, &roots);
    else
        doctor_print_text(d, &roots);
    int code = d->possible ? CLI_OK : CLI_TPM;
    tt_cert_list_free(list);
    tt_doctor_free(d);
    return code;
}

static const struct option_row doctor_rows[] = {
    {"quick", NULL, "make no RSA key (on a chip that takes seconds)",
     OPTION_TO(struct doctor_options, quick)},
    {"ek-roots", "FILE", "certificates (PEM) of vendors, to judge the TPM's own certificate by",
     OPTION_TO(struct doctor_options, roots)},
    {0},
};
static const struct option_part doctor_parts[] = {{NULL, doctor_rows, 0}, {0}};

const struct command command_doctor = {
    .name = "doctor",
    .summary = "look at a TPM: can TLS 1.3 have its keys there, and what stands in the way",
    .about = "Looks at the TPM, tries each type of key, and says what stands in the way of TLS 1.3 with keys "
             "in it. Changes "
             "nothing and tries no password. Exit code 0: a TLS 1.3 identity is possible, 4: it is not.",
    .example = "  tpmtls doctor --quick",
    .parts = doctor_parts,
    .size = sizeof(struct doctor_options),
    .run = run,
};
