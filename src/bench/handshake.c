/* bench/handshake.c: handshakes of three kinds, both ends in memory, connections made and freed included,
 * against the sum of their primitives as libcrypto does them, and against other implementations. CPU time;
 * the variants take turns in short rounds, so that what disturbs the machine disturbs all of them. Layer:
 * bench. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/ends.h"
#include "bench/primitives.h"
#include "bench/rival.h"
#include "bench/tls.h"

#define ROUNDS     41
#define HANDSHAKES 25 /* of each variant in a round */
#define MAX_RIVALS 4

/* struct kind: what takes place in a handshake, and what it may cost. Each is held against its own
 * primitives: one that does not verify a chain does not get the verifications counted. */
struct kind {
    const char *key, *title;
    enum ends_kind ends;
    bool resumed;
    uint16_t group;        /* 0: X25519 */
    int needs[PRIMITIVES]; /* both ends together */
    double most_to_sum;
    double most_to_libssl[2]; /* 3.0, and 3.5 or later */
};

static const struct kind kinds[] = {
    /* Chains of one link: two verifications for the chains, two for CertificateVerify. */
    {.key = "full",
     .title = "Full mutual handshake, chains judged anew: X25519, ECDSA P-256, AES-128-GCM",
     .ends = ENDS_FULL,
     .needs = {[X25519_KEYGEN] = 2, [X25519_DERIVE] = 2, [ECDSA_SIGN] = 2, [ECDSA_VERIFY] = 4},
     .most_to_sum = 1.27,
     .most_to_libssl = {0.4, 0.55}},
    /* The two secrets are concatenated: the key schedule does no more. */
    {.key = "hybrid",
     .title = "The same with X25519MLKEM768",
     .ends = ENDS_FULL,
     .group = TT_GROUP_X25519MLKEM768,
     .needs = {[X25519_KEYGEN] = 2,
               [X25519_DERIVE] = 2,
               [ECDSA_SIGN] = 2,
               [ECDSA_VERIFY] = 4,
               [MLKEM_KEYGEN] = 1,
               [MLKEM_ENCAPSULATE] = 1,
               [MLKEM_DECAPSULATE] = 1},
     .most_to_sum = 1.25,
     .most_to_libssl = {0, 0.6}},
    {.key = "known",
     .title = "Full mutual handshake, chains judged by an earlier one (others have no such memory)",
     .ends = ENDS_KNOWN,
     .needs = {[X25519_KEYGEN] = 2, [X25519_DERIVE] = 2, [ECDSA_SIGN] = 2, [ECDSA_VERIFY] = 2}},
    /* Each end: 12 steps of the key schedule up to the traffic secrets, 4 traffic keys with their IVs (8),
     * binder and its key (2), both Finished with their keys (4). Its ClientHello is hashed once for the
     * binder and once, with all else, for the transcript. */
    {.key = "resumed",
     .title = "Resumed handshake (psk_dhe_ke, stateless ticket): X25519, AES-128-GCM",
     .ends = ENDS_RESUMED,
     .resumed = true,
     .needs = {[X25519_KEYGEN] = 2, [X25519_DERIVE] = 2, [HMAC_SHA256] = 52, [SHA256_1K] = 4},
     .most_to_sum = 1.5,
     .most_to_libssl = {0.5, 0.5}},
};

/* struct samples: one value a round. */
struct samples {
    double ours[ROUNDS], sum[ROUNDS], to_sum[ROUNDS], each[PRIMITIVES][ROUNDS];
    double rival[MAX_RIVALS][ROUNDS], to_rival[MAX_RIVALS][ROUNDS];
};

struct contest {
    const struct kind *kind;
    struct ends ours;
    struct primitives *primitives;
    void *rivals[MAX_RIVALS];
    struct samples s;
};

static double run_ours(const struct contest *c)
{
    double start = cpu_now();
    for (int i = 0; i < HANDSHAKES; i++) {
        struct pair p;
        pair_connect(&p, &c->ours, c->kind->ends, no_turn);
        pair_free(&p);
    }
    return (cpu_now() - start) / HANDSHAKES * 1e6;
}

static double run_rival(const struct contest *c, size_t i)
{
    double start = cpu_now();
    for (int n = 0; n < HANDSHAKES; n++)
        rivals[i]->pair_free(rivals[i]->pair_connect(c->rivals[i], c->kind->resumed, no_turn));
    return (cpu_now() - start) / HANDSHAKES * 1e6;
}

static void one_round(struct contest *c, int i)
{
    struct samples *s = &c->s;
    s->sum[i] = 0;
    for (enum primitive k = 0; k < PRIMITIVES; k++) {
        int n = c->kind->needs[k];
        if (n == 0)
            continue;
        double all = primitives_run(c->primitives, k, n * HANDSHAKES) / HANDSHAKES * 1e6;
        s->each[k][i] = all / n;
        s->sum[i] += all;
    }
    s->ours[i] = run_ours(c);
    s->to_sum[i] = s->ours[i] / s->sum[i];
    for (size_t k = 0; rivals[k] != NULL; k++) {
        if (c->rivals[k] == NULL)
            continue;
        s->rival[k][i] = run_rival(c, k);
        s->to_rival[k][i] = s->ours[i] / s->rival[k][i];
    }
}

static void report_primitives(struct report *r, struct contest *c)
{
    char key[64], text[80];
    for (enum primitive k = 0; k < PRIMITIVES; k++) {
        if (c->kind->needs[k] == 0)
            continue;
        (void)snprintf(key, sizeof key, "%s_%s", c->kind->key, primitive_key(k));
        (void)snprintf(text, sizeof text, "  %s (%d)", primitive_text(k), c->kind->needs[k]);
        report_figure(r, &(struct figure){key, text, "us", median(c->s.each[k], ROUNDS), 0, 0});
    }
}

static double most_to(const struct kind *k, const struct rival *rival)
{
    return strcmp(rival->key, "libssl") == 0 ? k->most_to_libssl[libcrypto_is_new()] : 0;
}

static void report_rivals(struct report *r, struct contest *c)
{
    char key[64], text[80];
    for (size_t k = 0; rivals[k] != NULL; k++) {
        if (c->rivals[k] == NULL)
            continue;
        (void)snprintf(key, sizeof key, "%s_%s_us", c->kind->key, rivals[k]->key);
        (void)snprintf(text, sizeof text, "%s, both ends in memory, CPU", rivals[k]->name);
        report_figure(r, &(struct figure){key, text, "us", median(c->s.rival[k], ROUNDS), 0, 0});
        (void)snprintf(key, sizeof key, "%s_to_%s", c->kind->key, rivals[k]->key);
        (void)snprintf(text, sizeof text, "  ours / %s", rivals[k]->name);
        report_figure(r, &(struct figure){key, text, "x", median(c->s.to_rival[k], ROUNDS),
                                          most_to(c->kind, rivals[k]), 0});
    }
}

static void report_contest(struct report *r, struct contest *c)
{
    char key[64];
    report_section(r, c->kind->title);
    (void)snprintf(key, sizeof key, "%s_us", c->kind->key);
    report_figure(r, &(struct figure){key, "our two ends, CPU", "us", median(c->s.ours, ROUNDS), 0, 0});
    (void)snprintf(key, sizeof key, "%s_primitives_us", c->kind->key);
    report_figure(r, &(struct figure){key, "the primitives it needs, by libcrypto", "us",
                                      median(c->s.sum, ROUNDS), 0, 0});
    report_primitives(r, c);
    (void)snprintf(key, sizeof key, "%s_to_primitives", c->kind->key);
    report_figure(r, &(struct figure){key, "ours / primitives", "x", median(c->s.to_sum, ROUNDS),
                                      c->kind->most_to_sum, 0});
    report_rivals(r, c);
}

static void our_ends(struct ends *e, const struct identities *ids, const struct kind *kind)
{
    const struct ends_options options = {.suite = TT_SUITE_AES_128_GCM_SHA256,
                                         .group = kind->group != 0 ? kind->group : TT_GROUP_X25519};
    ends_make_with(e, ids, &options);
    ends_get_session(e);
}

static void contest_run(struct report *r, const struct identities *ids, const struct kind *kind,
                        struct primitives *primitives)
{
    static struct contest c;
    c = (struct contest){.kind = kind, .primitives = primitives};
    our_ends(&c.ours, ids, kind);
    for (size_t k = 0; rivals[k] != NULL; k++) {
        void *(*make)(const struct identities *, uint16_t) =
            kind->group == 0 ? rivals[k]->ends_make : rivals[k]->ends_make_hybrid;
        c.rivals[k] = make == NULL ? NULL : make(ids, TT_SUITE_AES_128_GCM_SHA256);
    }
    for (int i = -2; i < ROUNDS; i++) /* two to warm up */
        one_round(&c, i < 0 ? 0 : i);
    report_contest(r, &c);
    for (size_t k = 0; rivals[k] != NULL; k++)
        if (c.rivals[k] != NULL)
            rivals[k]->ends_free(c.rivals[k]);
    ends_free(&c.ours);
}

static void profile(const struct identities *ids, const struct kind *kind)
{
    static struct contest c;
    c = (struct contest){.kind = kind};
    our_ends(&c.ours, ids, kind);
    for (int i = 0; i < 20; i++)
        (void)run_ours(&c);
    ends_free(&c.ours);
}

void bench_handshake(struct report *r, const struct identities *ids, const char *profiled)
{
    struct primitives *primitives = primitives_make(ids->server.pkey);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].group != 0 && !libcrypto_is_new())
            continue;
        if (profiled == NULL)
            contest_run(r, ids, &kinds[i], primitives);
        else if (strcmp(profiled, kinds[i].key) == 0)
            profile(ids, &kinds[i]);
    }
    primitives_free(primitives);
}
