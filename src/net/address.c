/* net/address.c: addresses as people write them. Layer: net. No name lookup here. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tt_rc bad_address(const char *text, const char *why, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_USAGE, "'%s' is not an address: %s", text, why);
    error_hint(err, "write HOST:PORT, such as example.org:443, 127.0.0.1:8443 or [::1]:8443");
    return TT_ERR_USAGE;
}

static bool is_port(const char *text)
{
    size_t n = strlen(text);
    return n >= 1 && n <= 5 && strspn(text, "0123456789") == n && strtoul(text, NULL, 10) <= 65535;
}

tt_rc address_parse(struct address *ret, const char *text, struct tt_error *err)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return bad_address(text, "the port is missing", err);
    if (!is_port(colon + 1))
        return bad_address(text, "the port must be a number from 0 to 65535", err);
    const char *host = text;
    size_t host_len = (size_t)(colon - text);
    if (text[0] == '[') {
        if (host_len < 2 || colon[-1] != ']')
            return bad_address(text, "the bracket is not closed", err);
        host++;
        host_len -= 2;
    } else if (memchr(text, ':', host_len) != NULL) {
        return bad_address(text, "an IPv6 address needs brackets", err);
    }
    if (host_len >= sizeof ret->host)
        return bad_address(text, "the host is too long", err);
    memcpy(ret->host, host, host_len);
    ret->host[host_len] = '\0';
    (void)snprintf(ret->port, sizeof ret->port, "%s", colon + 1);
    return TT_OK;
}

void address_format(char ret[ADDRESS_TEXT_MAX], const struct sockaddr *sa)
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        (void)snprintf(ret, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        (void)snprintf(ret, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        (void)snprintf(ret, ADDRESS_TEXT_MAX, "a local socket");
    }
}
