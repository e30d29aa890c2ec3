/* cli/proxy_sandbox.c: which files `tpmtls proxy` needs. Layer: cli. sandbox_needs.h has the rest. */
#include <string.h>
#include <unistd.h>

#include "cli/proxy.h"
#include "cli/sandbox_needs.h"

_Static_assert(NEEDS_STATE >= PROXY_TUNNELS_MAX + 8, "a socket of each tunnel");

static void need_tunnel(struct needs *n, const struct proxy_tunnel *t)
{
    needs_identity(n, &t->tls);
    needs_list(n, &t->trust.ca);
    needs_list(n, &t->trust.crls);
    needs_policy(n, t->attestation);
    needs_file(n, t->ek_cert);
    needs_file(n, t->tickets.key);
    needs_list(n, &t->ech_keys);
    if (t->ech.ech != NULL && access(t->ech.ech, F_OK) == 0)
        needs_file(n, t->ech.ech);
    needs_socket(n, t->listen);
}

tt_rc proxy_sandbox(const struct proxy_plan *plan, struct tt_error *err)
{
    static struct needs n;
    bool off = plan->common->sandbox == SANDBOX_OFF;
    if (!off) {
        for (size_t i = 0; i < plan->tunnels_len; i++)
            need_tunnel(&n, &plan->tunnels[i]);
        needs_file(&n, plan->file);
        needs_socket(&n, plan->common->status);
        needs_socket(&n, plan->common->takeover);
        needs_own_state(&n); /* sessions */
    }
    return needs_enter(&n, plan->cli, plan->common->user, off, err);
}
