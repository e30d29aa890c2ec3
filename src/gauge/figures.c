/* gauge/figures.c: what follows from the tables. Layer: gauge. Each is a ratio within one run. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gauge/handshakes.h"

static const struct gauge_handshake *handshake(const struct gauge_page *p, const char *name, const char *key,
                                               enum gauge_key in)
{
    for (size_t i = 0; i < p->handshakes_len; i++) {
        const struct gauge_handshake *h = &p->handshakes[i];
        if (h->wall.n > 0 && h->in == in && strcmp(h->name, name) == 0 && strcmp(h->key, key) == 0)
            return h;
    }
    return NULL;
}

/* The TPM's median of a command, NAN when it was not measured. */
static double command(const struct gauge_page *p, const char *name, const char *key, bool encrypted)
{
    const struct gauge_command *c = command_find(p, name, key, encrypted);
    return c != NULL ? c->tpm.p50 : NAN;
}

static void add(struct gauge_page *p, const char *key, const char *type, const char *text, double value,
                double at_most)
{
    if (isnan(value) || p->figures_len == GAUGE_FIGURES)
        return;
    struct gauge_figure *f = &p->figures[p->figures_len++];
    *f = (struct gauge_figure){.value = value, .at_most = at_most};
    (void)snprintf(f->key, sizeof f->key, "%s%s%s", key, type[0] != '\0' ? "_" : "", type);
    (void)snprintf(f->text, sizeof f->text, "%s%s%s", text, type[0] != '\0' ? ", " : "", type);
}

static void of_type(struct gauge_page *p, const char *key)
{
    const struct gauge_handshake *tpm = handshake(p, "full", key, GAUGE_TPM_KEY),
                                 *software = handshake(p, "full", key, GAUGE_SOFTWARE_KEY),
                                 *waiting = handshake(p, "full", key, GAUGE_WAITING_KEY),
                                 *resumed = handshake(p, "resumed", key, GAUGE_TPM_KEY),
                                 *cold = handshake(p, "cold", key, GAUGE_TPM_KEY);
    bool bare_emulator = p->emulated && p->profile[0] == '\0';
    if (tpm != NULL && software != NULL && waiting != NULL) {
        add(p, "overhead", key, "full handshake without the TPM's time / the same with a software key",
            tpm->rest_us / software->rest_us, 1.1);
        add(p, "overhead_waiting", key, "the same / with a software key that waits as long before it signs",
            tpm->rest_us / waiting->rest_us, 0);
    }
    if (tpm != NULL && tpm->sign_us > 0)
        add(p, "handshake_over_sign", key, "full handshake / the bare signature, in turns",
            tpm->wall.p50 / tpm->sign_us, bare_emulator && strcmp(key, "p256") == 0 ? 3 : 0);
    if (tpm != NULL && resumed != NULL)
        add(p, "full_over_resumed", key, "full handshake / resumed handshake",
            tpm->wall.p50 / resumed->wall.p50, 0);
    if (cold != NULL && cold->sum_us > 0)
        add(p, "cold_over_commands", key, "cold start / the sum of the commands it needs",
            cold->wall.p50 / cold->sum_us, bare_emulator ? 0 : 1.5);
}

/* After how many resumed handshakes a session that the TPM keeps has paid for itself, in the TPM's time. What
 * each saves is a signature. Sealed: sealing it, and in the process that resumes a session salted to the
 * storage key, Load and Unseal. Held: two HMAC keys are brought in once; each handshake loads and uses both.
 */
static void break_even(struct gauge_page *p, const char *key, const char *sign)
{
    double saves = command(p, sign, key, false);
    double salted = command(p, "StartAuthSession salted", "p256", false);
    double sealed = salted * 2 + command(p, "Create", "sealed", true) + command(p, "Load", "sealed", false) +
                    command(p, "Unseal", "sealed", true);
    double each = 2 * (command(p, "ContextLoad", "hmac", false) + command(p, "HMAC", "hmac", false) +
                       command(p, "FlushContext", "hmac", false));
    double held = salted + 2 * (command(p, "Create", "hmac", true) + command(p, "Load", "hmac", false) +
                                command(p, "ContextSave", "hmac", false));
    add(p, "break_even_sealed", key, "a sealed session pays after so many handshakes", ceil(sealed / saves),
        0);
    if (saves > each)
        add(p, "break_even_held", key, "a held session pays after so many handshakes",
            ceil(held / (saves - each)), 0);
}

/* The same key and session arithmetic of ours; on a chip the TPM's own is most of it. */
static void password(struct gauge_page *p)
{
    const struct gauge_command *with = command_find(p, "Sign", "p256 pw", false),
                               *without = command_find(p, "Sign", "p256", false);
    if (with != NULL && without != NULL && without->call_us > 0)
        add(p, "password_over_none", "p256", "a signature with a password / one without",
            with->call_us / without->call_us, p->emulated && p->profile[0] == '\0' ? 1.6 : 0);
}

void gauge_figures(struct gauge_page *p)
{
    of_type(p, "p256");
    of_type(p, "rsa2048");
    password(p);
    break_even(p, "p256", "Sign");
    break_even(p, "rsa2048", "RSA_Decrypt");
}
