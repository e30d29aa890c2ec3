/* net/address.c: addresses as people write them. Layer: net. No name lookup here. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire/host.h"

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

/* The ports of services that begin with TLS, by the names people type (IANA's, and the usual ones). A minimal
 * system has no /etc/services. */
static const struct {
    const char *name, *port;
} services[] = {{"https", "443"},        {"wss", "443"},         {"smtps", "465"},    {"submissions", "465"},
                {"nntps", "563"},        {"ldaps", "636"},       {"domain-s", "853"}, {"dot", "853"},
                {"ftps", "990"},         {"imaps", "993"},       {"pop3s", "995"},    {"mqtts", "8883"},
                {"secure-mqtt", "8883"}, {"postgresql", "5432"}, {"amqps", "5671"},   {"sips", "5061"},
                {"smtp", "25"},          {"submission", "587"},  {"imap", "143"},     {"ldap", "389"}};

static const char *service_port(const char *name, size_t len)
{
    for (size_t i = 0; i < TT_COUNT(services); i++)
        if (strlen(services[i].name) == len && strncasecmp(services[i].name, name, len) == 0)
            return services[i].port;
    return NULL;
}

tt_rc address_parse_url(struct address *ret, const char *text, struct tt_error *err)
{
    char address[300];
    const char *mark = strstr(text, "://");
    if (mark == NULL)
        return address_parse(ret, text, err);
    const char *port = service_port(text, (size_t)(mark - text)), *host = mark + 3;
    size_t len = strcspn(host, "/?#");
    if (port == NULL || memchr(host, '@', len) != NULL || len >= sizeof address - 8)
        return bad_address(text, "this is not the URL of a service with TLS", err);
    bool has_port = len > 0 && memchr(host, ':', len) != NULL && host[len - 1] != ']';
    (void)snprintf(address, sizeof address, "%.*s%s%s", (int)len, host, has_port ? "" : ":",
                   has_port ? "" : port);
    return address_parse(ret, address, err);
}

tt_rc address_set_host(struct address *a, const char *host, struct tt_error *err)
{
    struct host h = {.text = ""};
    if (host[0] != '\0')
        TT_TRY(host_parse(&h, host, err));
    a->is_name = h.kind == HOST_NAME;
    (void)snprintf(a->host, sizeof a->host, "%s%s%s", h.text, h.zone[0] != '\0' ? "%" : "", h.zone);
    (void)snprintf(a->name, sizeof a->name, "%s", h.text);
    return TT_OK;
}

tt_rc address_parse(struct address *ret, const char *text, struct tt_error *err)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return bad_address(text, "the port is missing", err);
    const char *port = is_port(colon + 1) ? colon + 1 : service_port(colon + 1, strlen(colon + 1));
    if (port == NULL)
        return bad_address(text, "the port must be a number from 0 to 65535, or a name such as https", err);
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
    struct address found;
    char only[sizeof found.host];
    (void)snprintf(only, sizeof only, "%.*s", (int)host_len, host);
    (void)snprintf(found.port, sizeof found.port, "%s", port);
    TT_TRY(address_set_host(&found, only, err));
    if (text[0] == '[' && found.is_name && host_len > 0)
        return bad_address(text, "brackets are for IPv6 addresses", err);
    *ret = found;
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
