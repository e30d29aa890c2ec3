/* bench/ech.c: what Encrypted Client Hello adds to a full handshake, both ends together: HPKE at each (DHKEM
 * X25519), and two ClientHellos more that are built and read. CPU time; with and without take turns. Layer:
 * bench. */
#include "bench/ends.h"
#include "bench/tls.h"

#define ROUNDS     61
#define HANDSHAKES 20
#define MOST_ADDED 60 /* us */

static double run(const struct ends *e)
{
    double start = cpu_now();
    for (int i = 0; i < HANDSHAKES; i++) {
        struct pair p;
        pair_connect(&p, e, ENDS_FULL, no_turn);
        pair_free(&p);
    }
    return (cpu_now() - start) / HANDSHAKES * 1e6;
}

void bench_ech(struct report *r, const struct identities *ids)
{
    static double without[ROUNDS], with[ROUNDS], added[ROUNDS];
    struct ends ends[2];
    for (int ech = 0; ech < 2; ech++)
        ends_make_with(&ends[ech], ids,
                       &(struct ends_options){
                           .suite = TT_SUITE_AES_128_GCM_SHA256, .group = TT_GROUP_X25519, .ech = ech == 1});
    for (int i = -2; i < ROUNDS; i++) { /* two to warm up */
        int at = i < 0 ? 0 : i;
        without[at] = run(&ends[0]);
        with[at] = run(&ends[1]);
        added[at] = with[at] - without[at];
    }
    report_section(r, "Full mutual handshake with Encrypted Client Hello (DHKEM X25519, AES-128-GCM)");
    report_figure(r, &(struct figure){"ech_without_us", "our two ends without it, CPU", "us",
                                      median(without, ROUNDS), 0, 0});
    report_figure(
        r, &(struct figure){"ech_with_us", "our two ends with it, CPU", "us", median(with, ROUNDS), 0, 0});
    report_figure(r, &(struct figure){"ech_added_us", "  it adds, both ends together", "us",
                                      median(added, ROUNDS), MOST_ADDED, 0});
    for (int ech = 0; ech < 2; ech++)
        ends_free(&ends[ech]);
}
