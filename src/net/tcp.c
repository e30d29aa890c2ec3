/* net/tcp.c: look-up, the sentences of failed connections, and connecting with a call that blocks. Layer:
 * net.
 */
#include "net/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tpmtls/stream.h"

#define CONNECT_TIMEOUT_MS 30000

void tcp_peer_name(char ret[TCP_PEER_MAX], const struct address *to)
{
    bool is_ipv6 = strchr(to->host, ':') != NULL;
    (void)snprintf(ret, TCP_PEER_MAX, is_ipv6 ? "[%.240s]:%.5s" : "%.240s:%.5s", to->host, to->port);
}

tt_rc tcp_explain_look_up(struct tt_error *err, const char *host, int gai, int why)
{
    (void)error_set(err, TT_ERR_NOT_FOUND, "cannot find the host '%s': %s", host,
                    gai == EAI_SYSTEM ? strerror(why) : gai_strerror(gai));
    error_hint(err, "check the spelling, or the resolver of this machine");
    return TT_ERR_NOT_FOUND;
}

tt_rc tcp_look_up(struct addrinfo **ret, const struct address *to, struct tt_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    const struct addrinfo any = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    if (to->host[0] == '\0')
        return error_set(err, TT_ERR_USAGE, "the host is missing in ':%s'", to->port);
    int rc = getaddrinfo(to->host, to->port, &hints, ret);
    if (rc != 0) /* AI_ADDRCONFIG hides the loopback on a machine with no other address */
        rc = getaddrinfo(to->host, to->port, &any, ret);
    return rc == 0 ? TT_OK : tcp_explain_look_up(err, to->host, rc, errno);
}

tt_rc tcp_explain(struct tt_error *err, const char *peer, int why)
{
    if (why == ETIMEDOUT) {
        (void)error_set(err, TT_ERR_DEADLINE, "cannot connect to %s: no answer", peer);
        error_hint(err, "a firewall may drop the packets, or the machine is down");
        return TT_ERR_DEADLINE;
    }
    (void)error_set(err, TT_ERR_IO, "cannot connect to %s: %s", peer,
                    why == ECONNREFUSED ? "connection refused" : strerror(why));
    if (why == ECONNREFUSED)
        error_hint(err, "nothing listens on that port");
    return TT_ERR_IO;
}

void tcp_prepare(int fd)
{
    const int on = 1, idle_s = 60, every_s = 15, probes = 4;
    const unsigned unacknowledged_ms = 120000;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

/* ---- blocking ---- */

/* Returns 0 or an errno. */
static int connect_within(int fd, const struct addrinfo *to, unsigned timeout_ms)
{
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int why = ETIMEDOUT, n;
    do
        n = poll(&p, 1, (int)timeout_ms);
    while (n < 0 && errno == EINTR);
    socklen_t len = sizeof why;
    if (n < 0 || (n > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0))
        return errno;
    return why;
}

static int dial_one(int *ret_fd, const struct addrinfo *to, unsigned timeout_ms)
{
    int fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    if (fd < 0)
        return errno;
    int why = connect_within(fd, to, timeout_ms);
    if (why != 0) {
        (void)close(fd);
        return why;
    }
    tcp_prepare(fd);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); /* only connecting had a time limit */
    *ret_fd = fd;
    return 0;
}

tt_rc tt_dial(int *ret_fd, const char *target, unsigned timeout_ms, struct tt_error *err)
{
    struct address to;
    struct addrinfo *addresses = NULL;
    char peer[TCP_PEER_MAX];
    if (timeout_ms > INT32_MAX)
        return error_set(err, TT_ERR_USAGE, "a time-out of %u ms is too long", timeout_ms);
    TT_TRY(address_parse(&to, target, err));
    TT_TRY(tcp_look_up(&addresses, &to, err));
    tcp_peer_name(peer, &to);
    int why = EADDRNOTAVAIL;
    for (const struct addrinfo *a = addresses; a != NULL && why != 0; a = a->ai_next)
        why = dial_one(ret_fd, a, timeout_ms != 0 ? timeout_ms : CONNECT_TIMEOUT_MS);
    freeaddrinfo(addresses);
    return why == 0 ? TT_OK : tcp_explain(err, peer, why);
}
