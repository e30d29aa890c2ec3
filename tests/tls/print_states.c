/* tests/tls/print_states.c: docs/states.md, made from the engine's own edge table. scripts/gen-states runs
 * it; a test compares. */
#include <stdio.h>
#include <string.h>

#include "tls/hs.h"

static const char *message_name(const struct hs_edge *e, enum conn_state next)
{
    bool retry = e->message == TT_HS_SERVER_HELLO && next == CLIENT_WAIT_SH;
    return retry ? "HelloRetryRequest" : tt_handshake_type_name(e->message);
}

/* Does the engine allow this step; and if so, is it one that no message makes but a signature. */
static bool step_by_signature(enum conn_state from, enum conn_state to)
{
    size_t n = 0;
    const struct hs_edge *edges = hs_edges(&n);
    for (size_t i = 0; i < n; i++)
        if (edges[i].state == from)
            return false;
    struct tt_conn c = {.state = from};
    bool allowed = hs_set_state(&c, to) == TT_OK;
    buf_free(&c.out);
    return allowed;
}

static void print_diagram(const char *title, const char *prefix, enum conn_state first)
{
    size_t n = 0;
    const struct hs_edge *edges = hs_edges(&n);
    printf("\n## %s\n\n```mermaid\nstateDiagram-v2\n    [*] --> %s\n", title, conn_state_name(first));
    if (first == CLIENT_START)
        printf("    CLIENT_START --> CLIENT_WAIT_SH: send client_hello\n");
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; strncmp(conn_state_name(edges[i].state), prefix, 6) == 0 && j < HS_MAX_NEXT; j++)
            if (edges[i].next[j] != CONN_STATE_COUNT)
                printf("    %s --> %s: %s\n", conn_state_name(edges[i].state),
                       conn_state_name(edges[i].next[j]), message_name(&edges[i], edges[i].next[j]));
    for (enum conn_state from = 0; from < CONN_STATE_COUNT; from++)
        for (enum conn_state to = 0; to < CONN_STATE_COUNT; to++)
            if (strncmp(conn_state_name(from), prefix, 6) == 0 && step_by_signature(from, to))
                printf("    %s --> %s: signature handed in\n", conn_state_name(from), conn_state_name(to));
    printf("```\n");
}

static void print_table(void)
{
    size_t n = 0;
    const struct hs_edge *edges = hs_edges(&n);
    printf("\n## The table\n\n| state | message | next |\n|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        printf("| %s | %s (%u) |", conn_state_name(edges[i].state), tt_handshake_type_name(edges[i].message),
               edges[i].message);
        for (size_t j = 0; j < HS_MAX_NEXT && edges[i].next[j] != CONN_STATE_COUNT; j++)
            printf("%s %s", j > 0 ? "," : "", conn_state_name(edges[i].next[j]));
        printf(" |\n");
    }
}

int main(void)
{
    printf(
        "# The engine's states\n\n"
        "Made by scripts/gen-states from the edge table in src/tls/hs.c; not to be edited.\n\n"
        "States are named as in RFC 9846 appendix A, with the role in front; `*_WAIT_SIGN` is where an end\n"
        "waits for its signature, `SERVER_WAIT_CH2` is START after a HelloRetryRequest. A message that is\n"
        "not drawn is refused with `unexpected_message`.\n");
    print_diagram("Client", "CLIENT", CLIENT_START);
    print_diagram("Server", "SERVER", SERVER_START);
    print_table();
    return 0;
}
