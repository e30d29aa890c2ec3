/* bench/ech.c: what Encrypted Client Hello adds to a full handshake, both ends together: HPKE at each (DHKEM
 * X25519), and two ClientHellos more that are built and read. Ours, what its primitives alone cost, and what
 * libssl's adds where it has ECH (OpenSSL 4: ./dev bench --openssl4 tls). CPU time; with and without take
 * turns. Layer: bench. */
#include <string.h>

#include "bench/ends.h"
#include "bench/primitives.h"
#include "bench/rival.h"
#include "bench/tls.h"

#define ROUNDS         61
#define HANDSHAKES     20
#define MOST_ADDED     60  /* us */
#define MOST_TO_LIBSSL 0.5 /* of what it adds there */

/* The client's key pair for this connection, and the agreement with the server's key at both ends. */
static const int needs[PRIMITIVES] = {[X25519_KEYGEN] = 1, [X25519_DERIVE] = 2};

/* struct samples: one value a round; [1] is with ECH. */
struct samples {
    double ours[2][ROUNDS], added[ROUNDS], primitives[ROUNDS];
    double libssl[2][ROUNDS], libssl_added[ROUNDS], to_libssl[ROUNDS];
};

struct contest {
    struct ends ends[2];
    struct primitives *primitives;
    void *libssl[2]; /* NULL: it is not there, or has no ECH */
    struct samples s;
};

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

static const struct rival *libssl_with_ech(void)
{
    for (size_t i = 0; rivals[i] != NULL; i++)
        if (strcmp(rivals[i]->key, "libssl") == 0 && rivals[i]->ends_make_ech != NULL)
            return rivals[i];
    return NULL;
}

static double run_libssl(void *ends)
{
    const struct rival *libssl = libssl_with_ech();
    double start = cpu_now();
    for (int i = 0; i < HANDSHAKES; i++)
        libssl->pair_free(libssl->pair_connect(ends, false, no_turn));
    return (cpu_now() - start) / HANDSHAKES * 1e6;
}

static void one_round(struct contest *c, int i)
{
    struct samples *s = &c->s;
    for (int ech = 0; ech < 2; ech++)
        s->ours[ech][i] = run(&c->ends[ech]);
    s->added[i] = s->ours[1][i] - s->ours[0][i];
    s->primitives[i] = 0;
    for (enum primitive k = 0; k < PRIMITIVES; k++)
        if (needs[k] > 0)
            s->primitives[i] += primitives_run(c->primitives, k, needs[k] * HANDSHAKES) / HANDSHAKES * 1e6;
    if (c->libssl[0] == NULL)
        return;
    for (int ech = 0; ech < 2; ech++)
        s->libssl[ech][i] = run_libssl(c->libssl[ech]);
    s->libssl_added[i] = s->libssl[1][i] - s->libssl[0][i];
    s->to_libssl[i] = s->added[i] / s->libssl_added[i];
}

static void row(struct report *r, const char *key, const char *text, const char *unit, double *values,
                double at_most)
{
    report_figure(r, &(struct figure){key, text, unit, median(values, ROUNDS), at_most, 0});
}

static void report(struct report *r, struct contest *c)
{
    struct samples *s = &c->s;
    report_section(r, "Full mutual handshake with Encrypted Client Hello (DHKEM X25519, AES-128-GCM)");
    row(r, "ech_without_us", "our two ends without it, CPU", "us", s->ours[0], 0);
    row(r, "ech_with_us", "our two ends with it, CPU", "us", s->ours[1], 0);
    row(r, "ech_added_us", "  it adds, both ends together", "us", s->added, MOST_ADDED);
    row(r, "ech_primitives_us", "  its three X25519 operations alone, by libcrypto", "us", s->primitives, 0);
    if (c->libssl[0] == NULL) {
        report_note(r,
                    "libssl is not beside it: it has no ECH before OpenSSL 4 (./dev bench --openssl4 tls)");
        return;
    }
    row(r, "ech_libssl_without_us", "libssl, both ends in memory, without it", "us", s->libssl[0], 0);
    row(r, "ech_libssl_with_us", "libssl with it", "us", s->libssl[1], 0);
    row(r, "ech_libssl_added_us", "  it adds there", "us", s->libssl_added, 0);
    row(r, "ech_added_to_libssl", "  what ours adds / what libssl's adds", "x", s->to_libssl, MOST_TO_LIBSSL);
}

static void ends_make_both(struct contest *c, const struct identities *ids)
{
    const struct rival *libssl = libssl_with_ech();
    for (int ech = 0; ech < 2; ech++)
        ends_make_with(&c->ends[ech], ids,
                       &(struct ends_options){
                           .suite = TT_SUITE_AES_128_GCM_SHA256, .group = TT_GROUP_X25519, .ech = ech == 1});
    if (libssl == NULL)
        return;
    c->libssl[0] = libssl->ends_make(ids, TT_SUITE_AES_128_GCM_SHA256);
    c->libssl[1] = libssl->ends_make_ech(ids, TT_SUITE_AES_128_GCM_SHA256, c->ends[1].ech_pem);
}

void bench_ech(struct report *r, const struct identities *ids, const char *profiled)
{
    static struct contest c;
    if (profiled != NULL && strcmp(profiled, "ech") != 0)
        return;
    c = (struct contest){.primitives = primitives_make(ids->server.pkey)};
    ends_make_both(&c, ids);
    for (int i = -2; i < ROUNDS && profiled == NULL; i++) /* two to warm up */
        one_round(&c, i < 0 ? 0 : i);
    for (int i = 0; i < 20 && profiled != NULL; i++)
        (void)run(&c.ends[1]);
    if (profiled == NULL)
        report(r, &c);
    for (int ech = 0; ech < 2; ech++) {
        ends_free(&c.ends[ech]);
        if (c.libssl[ech] != NULL)
            libssl_with_ech()->ends_free(c.libssl[ech]);
    }
    primitives_free(c.primitives);
}
