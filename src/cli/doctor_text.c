/* cli/doctor_text.c: `tpmtls doctor` for a person: one page. Layer: cli. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/term.h"

/* "17 ms", "0.45 ms", "2.2 s" */
static const char *duration(char *to, size_t cap, uint64_t us)
{
    if (us < 10000)
        (void)snprintf(to, cap, "%llu.%02llu ms", (unsigned long long)us / 1000,
                       (unsigned long long)us % 1000 / 10);
    else if (us < 1000000)
        (void)snprintf(to, cap, "%llu ms", (unsigned long long)us / 1000);
    else
        (void)snprintf(to, cap, "%llu.%llu s", (unsigned long long)us / 1000000,
                       (unsigned long long)us % 1000000 / 100000);
    return to;
}

static void line(const char *name, const char *value)
{
    printf("%-16s%s\n", name, value[0] == '\0' ? "unknown" : value);
}

static void print_places(const struct tt_doctor *d)
{
    for (size_t i = 0; i < d->places_len; i++)
        printf("%-16s%s: %s\n", i == 0 ? "places:" : "", d->places[i].where, d->places[i].state);
}

static void print_identity(const struct tt_doctor *d)
{
    printf("%-16s%s %s, firmware %s, TPM %s\n", "TPM:", d->manufacturer, d->vendor, d->firmware, d->spec);
    printf("%-16s%s%s\n", "kind:", d->kind, d->emulated ? " (emulated)" : "");
    printf("%-16s%s\n", "manager:", d->manager);
    line("hashes:", d->hashes.text);
    line("curves:", d->curves.text);
    line("RSA:", d->rsa.text);
}

static void print_salt(const struct tt_doctor *d)
{
    const char *fips = d->fips ? "set" : "clear";
    if (!d->salt_measured)
        printf("%-16s%s; FIPS bit %s\n", "RSA-PSS salt:", d->salt_why, fips);
    else
        printf("%-16s%u bytes%s (TLS 1.3: 32); FIPS bit %s\n", "RSA-PSS salt:", d->salt,
               d->salt_valid ? "" : ", and the signature is wrong", fips);
}

static void print_state(const struct tt_doctor *d)
{
    if (d->locked)
        printf("%-16s%sLOCKED%s for %llu s more (%u of %u counted)\n", "lockout:", term_on(TERM_BAD),
               term_off(), (unsigned long long)d->seconds_to_unlock, d->failures, d->max_failures);
    else
        printf("%-16sno (%u of %u counted, one forgiven each %u s); what counts: wrong passwords, and power "
               "cuts "
               "after a key was used that is not noDA\n",
               "lockout:", d->failures, d->max_failures, d->seconds_per_failure);
    printf("%-16sowner %s, endorsement %s, lockout %s\n", "passwords:", d->owner_auth ? "set" : "none",
           d->endorsement_auth ? "set" : "none", d->lockout_auth ? "set" : "none");
    line("SRK:", d->srk_right ? "0x81000001, the standard one"
                 : d->srk_usable && !d->srk_known
                     ? "0x81000001, used as it is; the standard one cannot be derived, to compare"
                 : d->srk_at_handle ? "0x81000001, not the standard one"
                 : d->srk_known     ? "not kept; derived at each start"
                                    : "not kept, and cannot be derived");
    printf("%-16sobject slots %u (free %u), sessions free %u, persistent %u (free %u), NV indexes %u\n",
           "space:", d->slots, d->slots_free, d->sessions_free, d->persistent, d->persistent_free,
           d->nv_indexes);
    printf("%-16s%llu s of running%s; %u resets, %u restarts\n",
           "clock:", (unsigned long long)d->clock_ms / 1000, d->clock_safe ? "" : " (not safe)",
           d->reset_count, d->restart_count);
}

static void print_ek_keys(const struct tt_doctor *d)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->ek_keys_len; i++) {
        const struct tt_doctor_ek_key *k = &d->ek_keys[i];
        uint32_t certificate = doctor_ek_of_key(d, k);
        if (k->handle == 0)
            continue;
        printf("%-16s0x%08x (%s, ", kept++ == 0 ? "EK keys:" : "", k->handle, k->name);
        if (certificate == 0)
            printf("no certificate)\n");
        else
            printf("certificate 0x%08x)\n", certificate);
    }
    if (kept == 0)
        line("EK keys:", "none is kept");
}

/* Whose certificate it is. */
static void print_pair(const struct tt_doctor *d, const struct doctor_ek_view *v)
{
    if (v->key != NULL && v->key->handle != 0)
        printf("of the key at 0x%08x", v->key->handle);
    else if (v->key != NULL)
        printf("of the key that the TPM derives%s%s",
               v->key->own_template ? " from a template of its own" : "",
               v->key->own_nonce ? " with a nonce" : "");
    else if (v->judged)
        printf("of NO endorsement key of this TPM");
    else
        printf("of no key that is kept, and none was derived: %s", d->ek_why);
}

static void print_ek_chain(const struct tt_doctor *d)
{
    if (d->ek_chain_indexes == 0 && d->ek_chain_why[0] == '\0')
        return;
    printf("%-16s%zu certificates in %u NV indexes from 0x01c00100 on%s%s\n", "EK chain:", d->ek_chain_len,
           d->ek_chain_indexes, d->ek_chain_why[0] != '\0' ? "; " : "", d->ek_chain_why);
    for (size_t i = 0; i < d->ek_chain_len; i++) {
        struct tt_cert_info *info = NULL;
        if (tt_cert_describe(&info, d->ek_chain[i], NULL) == TT_OK)
            printf("%-16s%s, by %s\n", "", info->subject, info->issuer);
        else
            line("", "not a certificate");
        tt_cert_info_free(info);
    }
}

static void print_endorsement(const struct tt_doctor *d, const struct doctor_roots *roots)
{
    print_ek_keys(d);
    if (d->eks_len == 0)
        line("EK certificate:", "none");
    for (size_t i = 0; i < d->eks_len; i++) {
        struct doctor_ek_view v = doctor_ek_view(d, i, roots);
        if (v.info == NULL) {
            printf("%-16s0x%08x: %s\n", "EK certificate:", d->eks[i].nv_index, v.chain);
        } else {
            printf("%-16s0x%08x: %s, by %s, until %s%s; ", "EK certificate:", d->eks[i].nv_index, v.info->key,
                   v.info->issuer, v.info->not_after_text, v.expired ? " (EXPIRED)" : "");
            print_pair(d, &v);
            printf("; chain: %s\n", v.chain);
        }
        doctor_ek_view_free(&v);
    }
    print_ek_chain(d);
}

static void print_keys(const struct tt_doctor *d)
{
    char create[32], load[32], sign[32];
    for (size_t i = 0; i < d->keys_len; i++) {
        const struct tt_doctor_key *k = &d->keys[i];
        printf("%-16s%-8s ", i == 0 ? "keys:" : "", tt_key_type_name(k->type));
        if (k->works)
            printf("%sworks%s: sign %s, load %s, create %s\n", term_on(TERM_GOOD), term_off(),
                   duration(sign, sizeof sign, k->sign_us), duration(load, sizeof load, k->load_us),
                   duration(create, sizeof create, k->create_us));
        else
            printf("%s%s%s: %s\n", term_on(k->has && k->tried ? TERM_BAD : TERM_DIM),
                   !k->has    ? "no"
                   : k->tried ? "DOES NOT WORK"
                              : "has it",
                   term_off(), k->why);
    }
}

/* What P-384 and P-521 cost stands with the keys, and in the JSON. */
static bool is_detail(const char *command)
{
    const char *type = strchr(command, ' ');
    return type != NULL && (strcmp(type, " p384") == 0 || strcmp(type, " p521") == 0);
}

static void print_latencies(const struct tt_doctor *d)
{
    char text[32];
    unsigned printed = 0;
    for (size_t i = 0; i < d->latencies_len; i++) {
        if (is_detail(d->latencies[i].command))
            continue;
        if (printed % 3 == 0)
            printf("%s%-16s", printed == 0 ? "" : "\n", printed == 0 ? "latency:" : "");
        else
            printf("   ");
        printf("%-23s%8s", d->latencies[i].command + strlen("TPM2_"),
               duration(text, sizeof text, d->latencies[i].median_us));
        printed++;
    }
    printf("%s", printed == 0 ? "" : "\n");
}

void doctor_print_text(const struct tt_doctor *d, const struct doctor_roots *roots)
{
    line("TPM at:", d->where);
    print_places(d);
    if (d->reached) {
        print_identity(d);
        print_salt(d);
        print_state(d);
        print_endorsement(d, roots);
        print_keys(d);
        print_latencies(d);
    } else {
        line("error:", d->error.text);
    }
    printf("%-16s%s%s%s\n", "TLS 1.3:", term_on(d->possible ? TERM_GOOD : TERM_BAD),
           d->possible ? "an identity in this TPM is possible" : "NOT possible with this TPM as it is",
           term_off());
    for (size_t i = 0; i < d->hints_len; i++)
        printf("%shint:%s %s\n", term_on(TERM_WARN), term_off(), d->hints[i]);
}
