/* cli/proxy_make.h: what the proxy's setups are made from; for proxy_make.c (setups) and proxy_run.c (the
 * whole, and a file of tunnels that changes). Layer: cli. */
#ifndef CLI_PROXY_MAKE_H
#define CLI_PROXY_MAKE_H

#include "base/lock.h"
#include "cli/proxy.h"
#include "net/address.h"

/* struct held_file: a file of tunnels, as long as one of them is there. */
struct held_file {
    struct proxy_file file;
    unsigned holders;
};

struct maker;

/* struct material: a tunnel as it was configured, and what all its setups share. */
struct material {
    struct material *next;
    struct maker *maker;
    struct held_file *file;       /* NULL: the options are the command line's */
    const struct proxy_tunnel *t; /* of the file */
    struct address target;        /* a client's: the server's name */
    struct serve_tickets tickets;
    struct ech_files *ech;
    struct session_store *sessions;
    bool has_begun;
    bool has_left; /* on the accepting thread: no tunnel of a later file is it */
};

struct maker {
    struct cli cli;
    struct tt_tpm *tpm; /* of all keys; the first that needs one opens it */
    struct event_base *base;
    bool is_running; /* the queue has the TPM, if there is one */
    struct lock lock;
    struct material *materials; /* under the lock */
};

/* need_tpm: there is one from now on. */
TT_MUST_USE tt_rc need_tpm(struct maker *m, struct tt_error *err);
/* These are proxy_options' make, unmake, began and left; `maker` of a tunnel is its material. */
TT_MUST_USE tt_rc setup_make(void *arg, struct tunnel_options *opt, const struct tunnel_setup *before,
                             struct tunnel_setup **ret, struct tt_error *err);
void setup_unmake(void *arg, struct tunnel_setup *s);
void material_began(void *arg, const struct tunnel_options *opt, struct sign_queue *queue);
void material_left(void *arg, const struct tunnel_options *opt);
/* material_end: what it holds; on the thread of the TPM, or when that has ended. */
void material_end(struct material *x);

#endif
