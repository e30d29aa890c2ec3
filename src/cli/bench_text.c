/* cli/bench_text.c: the page of `tpmtls bench` for a person. Layer: cli. */
#include <stdio.h>
#include <string.h>

#include "cli/bench.h"

#define MS 1e3

void bench_command_name(char ret[64], const struct gauge_command *c)
{
    (void)snprintf(ret, 64, "%s%s%s%s", c->name, c->key[0] != '\0' ? " " : "", c->key,
                   c->encrypted ? " (encrypted)" : "");
}

void bench_handshake_name(char ret[64], const struct gauge_handshake *h)
{
    static const char *const where[] = {"", " (software)", " (waiting)"};
    (void)snprintf(ret, 64, "%s %s%s", h->name, h->key, where[h->in]);
}

/* Three significant digits, and no more than a microsecond. */
static const char *ms(char ret[16], double us)
{
    double v = us / MS;
    (void)snprintf(ret, 16, "%.*f", v < 10 ? 3 : v < 100 ? 2 : v < 1000 ? 1 : 0, v);
    return ret;
}

static void print_head(const struct gauge_page *p)
{
    printf("TPM:      %s %s, firmware %s, TPM %s, %s%s\n", p->manufacturer, p->vendor, p->firmware, p->spec,
           p->kind, p->emulated ? " (emulated)" : "");
    printf("at:       %s\n", p->where);
    printf("machine:  %s, %s, %s; tpmtls %s\n", p->system, p->cpu, p->libcrypto, TT_VERSION);
}

static void print_commands(const struct gauge_page *p)
{
    char a[16], b[16], c[16], d[16], name[64];
    if (p->commands_len == 0)
        return;
    printf("\nTPM commands, milliseconds (stack: what the call takes besides, in tpm2-tss)\n"
           "  %-38s %6s %9s %9s %9s %9s\n",
           "", "n", "p50", "p95", "p99", "stack");
    for (size_t i = 0; i < p->commands_len; i++) {
        const struct gauge_command *row = &p->commands[i];
        bench_command_name(name, row);
        if (row->tpm.n == 0) {
            printf("  %-38s %6s  %s\n", name, "-", row->why);
            continue;
        }
        double stack = row->call_us > row->tpm.p50 ? row->call_us - row->tpm.p50 : 0;
        printf("  %-38s %6zu %9s %9s %9s %9s\n", name, row->tpm.n, ms(a, row->tpm.p50), ms(b, row->tpm.p95),
               ms(c, row->tpm.p99), ms(d, stack));
    }
}

static void print_handshake(const struct gauge_handshake *h)
{
    char a[16], b[16], c[16], d[16], e[16], f[16], name[64];
    bench_handshake_name(name, h);
    if (h->wall.n == 0) {
        printf("  %-24s %6s  %s\n", name, "-", h->why);
        return;
    }
    printf("  %-24s %6zu %9s %9s %9s %8.1f %9s %5.0f %% %9s %9s %9.1f\n", name, h->wall.n, ms(a, h->wall.p50),
           ms(b, h->wall.p95), ms(c, h->wall.p99), h->commands, ms(d, h->tpm_us), 100 * h->share,
           ms(e, h->rest_us), ms(f, h->cpu_us), h->per_second);
}

static void print_handshakes(const struct gauge_page *p)
{
    if (p->handshakes_len == 0)
        return;
    printf("\nHandshakes, both ends in this process, milliseconds (rest: without the TPM's time; CPU: of "
           "both ends)\n"
           "  %-24s %6s %9s %9s %9s %8s %9s %7s %9s %9s %9s\n",
           "", "n", "p50", "p95", "p99", "commands", "TPM", "share", "rest", "CPU", "a second");
    for (size_t i = 0; i < p->handshakes_len; i++)
        print_handshake(&p->handshakes[i]);
}

static void print_figures(const struct gauge_page *p)
{
    if (p->figures_len == 0)
        return;
    printf("\nWhat follows\n");
    for (size_t i = 0; i < p->figures_len; i++) {
        const struct gauge_figure *f = &p->figures[i];
        char limit[48] = "";
        if (f->at_most > 0)
            (void)snprintf(limit, sizeof limit, "(at most %g: %s)", f->at_most,
                           f->value <= f->at_most ? "met" : "MISSED");
        printf("  %-80s %8.2f  %s\n", f->text, f->value, limit);
    }
}

void bench_print_text(const struct gauge_page *p)
{
    print_head(p);
    print_commands(p);
    print_handshakes(p);
    print_figures(p);
    printf("\n");
}
