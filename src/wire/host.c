/* wire/host.c: see host.h. Layer: wire. RFC 1123 section 2.1, RFC 5890 (A-labels), RFC 6874 (zones). */
#include "wire/host.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static tt_rc refuse(struct tt_error *err, const char *text, const char *why, const char *hint)
{
    error_hint(err, "%s", hint);
    return error_set(err, TT_ERR_USAGE, "\"%.80s\" is no host name and no address: %s", text, why);
}

/* "If the last label is numeric": resolvers take 0177.1, 0x7f000001 and the like for an IPv4 address. */
static bool ends_in_number(const char *name)
{
    const char *dot = strrchr(name, '.'), *last = dot == NULL ? name : dot + 1;
    if (last[0] == '0' && (last[1] == 'x' || last[1] == 'X'))
        return last[2 + strspn(last + 2, DIGITS "abcdefABCDEF")] == '\0';
    return last[0] != '\0' && last[strspn(last, DIGITS)] == '\0';
}

static tt_rc parse_ipv6(struct host *h, const char *text, struct tt_error *err)
{
    static const char hint[] =
        "write it as in 2001:db8::1, or fe80::1%eth0 with the interface it is reached by";
    const char *percent = strchr(text, '%');
    size_t len = percent != NULL ? (size_t)(percent - text) : strlen(text);
    if (len >= INET6_ADDRSTRLEN)
        return refuse(err, text, "it is too long for an IPv6 address", hint);
    memcpy(h->text, text, len);
    h->text[len] = '\0';
    h->kind = HOST_IPV6;
    if (inet_pton(AF_INET6, h->text, h->address) != 1)
        return refuse(err, text, "this is not how an IPv6 address is written", hint);
    if (percent == NULL)
        return TT_OK;
    size_t zone_len = strlen(percent + 1);
    if (zone_len == 0 || zone_len >= sizeof h->zone || strspn(percent + 1, LETTERS DIGITS "-_.") != zone_len)
        return refuse(err, text, "what follows the percent sign is no interface", hint);
    memcpy(h->zone, percent + 1, zone_len + 1);
    return TT_OK;
}

static tt_rc check_labels(const char *text, const char *name, struct tt_error *err)
{
    static const char hint[] =
        "a name has letters, digits, hyphens and underscores, in parts of 1 to 63 with dots between";
    for (const char *at = name;; at++) {
        size_t len = strspn(at, LETTERS DIGITS "-_");
        at += len;
        if (*at != '.' && *at != '\0')
            return refuse(err, text, "there is a character that names do not have", hint);
        if (len < 1 || len > 63)
            return refuse(err, text, len < 1 ? "a part of it is empty" : "a part of it is longer than 63",
                          hint);
        if (*at == '\0')
            return TT_OK;
    }
}

static tt_rc parse_name(struct host *h, const char *text, struct tt_error *err)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0x80)
            return refuse(err, text, "there are letters outside of ASCII in it",
                          "write the form of the name that begins with xn--, as 'idn2 NAME' prints it");
    bool absolute = len > 1 && text[len - 1] == '.';
    len -= absolute;
    if (len > HOST_NAME_MAX_LEN)
        return refuse(err, text, "it is longer than 253 characters",
                      "look whether more than the name is there");
    memcpy(h->text, text, len);
    h->text[len] = '\0';
    if (!ends_in_number(h->text))
        return check_labels(text, h->text, err);
    h->kind = HOST_IPV4;
    if (absolute || inet_pton(AF_INET, h->text, h->address) != 1)
        return refuse(err, text, "this is not how an IPv4 address is written",
                      "an address has four decimal numbers from 0 to 255, without zeros in front: 192.0.2.1");
    return TT_OK;
}

tt_rc host_parse(struct host *ret, const char *text, struct tt_error *err)
{
    struct host h = {.kind = HOST_NAME};
    if (text[0] == '\0')
        return refuse(err, text, "it is empty", "name the host");
    TT_TRY(strchr(text, ':') != NULL ? parse_ipv6(&h, text, err) : parse_name(&h, text, err));
    *ret = h;
    return TT_OK;
}

bool host_is_odd_address(const char *text)
{
    uint8_t address[16];
    char again[INET6_ADDRSTRLEN];
    if (strchr(text, ':') != NULL)
        return inet_pton(AF_INET6, text, address) == 1 &&
               strcmp(inet_ntop(AF_INET6, address, again, sizeof again), text) != 0;
    int dots = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if ((*at < '0' || *at > '9') && *at != '.')
            return false;
        dots += *at == '.';
    }
    return dots == 3 && inet_pton(AF_INET, text, address) != 1;
}
