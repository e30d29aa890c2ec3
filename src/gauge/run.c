/* gauge/run.c: one run: who the TPM is, then the parts. Layer: gauge. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "gauge/handshakes.h"
#include "tpm/context.h"
#include "tpm/doctor.h"

/* "model name : ..." of /proc/cpuinfo */
static void cpu_name(char *ret, size_t cap)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    ret[0] = '\0';
    while (f != NULL && ret[0] == '\0' && fgets(line, sizeof line, f) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL)
            (void)snprintf(ret, cap, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    }
    if (f != NULL)
        (void)fclose(f);
}

static void describe_machine(struct gauge_page *p)
{
    struct utsname u;
    if (uname(&u) == 0)
        (void)snprintf(p->system, sizeof p->system, "%.30s %.60s %.30s", u.sysname, u.release, u.machine);
    cpu_name(p->cpu, sizeof p->cpu);
    (void)snprintf(p->libcrypto, sizeof p->libcrypto, "%.60s", OpenSSL_version(OPENSSL_VERSION));
}

static void describe_tpm(struct gauge_page *p, struct tt_tpm *tpm)
{
    static struct tt_doctor d;
    d = (struct tt_doctor){0};
    doctor_identify(&d, tpm);
    memcpy(p->manufacturer, d.manufacturer, sizeof p->manufacturer);
    memcpy(p->vendor, d.vendor, sizeof p->vendor);
    memcpy(p->firmware, d.firmware, sizeof p->firmware);
    memcpy(p->spec, d.spec, sizeof p->spec);
    (void)snprintf(p->kind, sizeof p->kind, "%s", d.kind);
    p->emulated = d.emulated;
}

static tt_rc run_parts(struct gauge_run *run, struct tt_tpm *tpm, const char *spec, struct tt_error *err)
{
    describe_machine(run->page);
    describe_tpm(run->page, tpm);
    if (run->opt->commands)
        TT_TRY(gauge_commands(run, tpm, err));
    if (run->opt->handshakes)
        TT_TRY(gauge_handshakes(run, tpm, spec, err));
    gauge_figures(run->page);
    return TT_OK;
}

tt_rc gauge_run(struct gauge_page *ret, const struct gauge_options *opt, struct tt_error *err)
{
    char spec[512];
    struct tt_tpm *tpm = NULL;
    struct gauge_run run = {.page = ret, .opt = opt};
    *ret = (struct gauge_page){0};
    int n = opt->profile != NULL ? snprintf(spec, sizeof spec, "lab:profile=%s:%s", opt->profile, opt->tpm)
                                 : snprintf(spec, sizeof spec, "%s", opt->tpm);
    if (n < 0 || (size_t)n >= sizeof spec)
        return error_set(err, TT_ERR_USAGE, "the name of the TPM is too long");
    (void)snprintf(ret->where, sizeof ret->where, "%.310s", spec);
    (void)snprintf(ret->profile, sizeof ret->profile, "%.110s", opt->profile != NULL ? opt->profile : "");
    TT_TRY(tt_tpm_open(&tpm, spec, err));
    tt_rc rc = run_parts(&run, tpm, spec, err);
    tt_tpm_close(tpm);
    return rc;
}
