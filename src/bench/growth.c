/* bench/growth.c: does a handshake cost more when many connections are open? Layer: bench. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "bench/ends.h"
#include "bench/tls.h"

#define ROUNDS     7
#define HANDSHAKES 300 /* measured at each step of a round */

static const size_t steps[] = {1, 100, 10000};
#define STEPS (sizeof steps / sizeof *steps)

static double handshake_us(const struct ends *e)
{
    double start = cpu_now();
    for (int i = 0; i < HANDSHAKES; i++) {
        struct pair p;
        pair_connect(&p, e, ENDS_FULL, no_turn);
        pair_free(&p);
    }
    return (cpu_now() - start) / HANDSHAKES * 1e6;
}

/* One round: the connections are opened step by step (resumed, which is quick), and then all closed. */
static void one_round(const struct ends *e, struct pair *open, double us[STEPS])
{
    size_t n = 0;
    for (size_t s = 0; s < STEPS; s++) {
        for (; n < steps[s]; n++) {
            pair_connect(&open[n], e, ENDS_RESUMED, no_turn);
            tt_conn_trim(open[n].client);
            tt_conn_trim(open[n].server);
        }
        us[s] = handshake_us(e);
    }
    while (n > 0)
        pair_free(&open[--n]);
}

void bench_growth(struct report *r, const struct identities *ids)
{
    static double us[ROUNDS][STEPS], rate[ROUNDS], ratio[ROUNDS];
    struct ends e;
    struct pair *open = mem_alloc(steps[STEPS - 1] * sizeof *open);
    if (open == NULL)
        die("memory");
    ends_make(&e, ids, TT_SUITE_AES_128_GCM_SHA256);
    ends_get_session(&e);
    (void)handshake_us(&e);
    for (size_t i = 0; i < ROUNDS; i++)
        one_round(&e, open, us[i]);
    report_section(r, "Growth: full handshakes while other connections are open, both ends on one core");
    for (size_t s = 0; s < STEPS; s++) {
        char key[64], text[80];
        for (size_t i = 0; i < ROUNDS; i++) {
            rate[i] = 1e6 / us[i][s];
            ratio[i] = us[i][0] / us[i][s];
        }
        (void)snprintf(key, sizeof key, "growth_%zu_per_s", steps[s]);
        (void)snprintf(text, sizeof text, "with %zu open", steps[s]);
        report_figure(r, &(struct figure){key, text, "/s", median(rate, ROUNDS), 0, 0});
        if (s == 0)
            continue;
        (void)snprintf(key, sizeof key, "growth_%zu_to_1", steps[s]);
        report_figure(r, &(struct figure){.key = key,
                                          .text = "  that / with 1 open",
                                          .unit = "x",
                                          .value = median(ratio, ROUNDS),
                                          .at_least = 0.97});
    }
    ends_free(&e);
    mem_free(open);
}
