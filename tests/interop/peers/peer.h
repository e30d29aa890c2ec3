/* tests/interop/peers/peer.h: what the interop peers in C and C++ share: their options, plain sockets on
 * loopback, and what is said: a server sends back what comes, a client sends a file in parts and expects each
 * back. PEER server|client --port P --ca FILE [--cert FILE --key FILE] [--group NAME] [--suite NAME] [--psk
 * ID:HEX]
 *        [--data FILE] [--resume] [--early FILE] [--require-client-cert] */
#ifndef PEER_H
#define PEER_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEER_PART 32768

struct peer_options {
    bool server, resume, require_client_cert;
    unsigned short port;
    const char *ca, *cert, *key, *group, *suite, *early, *data;
    char psk_identity[64];
    unsigned char psk[64];
    unsigned psk_len;
};

struct peer_file {
    unsigned char *data;
    size_t len;
};

/* struct peer_stream: a connection of the library under test; both return what read and write do: bytes, 0 at
 * the end, below 0 for an error. */
struct peer_stream {
    void *tls;
    int (*read)(void *tls, unsigned char *buf, int cap);
    int (*write)(void *tls, const unsigned char *data, int len);
};

static inline void peer_die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static inline void peer_psk(struct peer_options *o, const char *text)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof o->psk_identity)
        peer_die("--psk", "ID:HEX");
    memcpy(o->psk_identity, text, (size_t)(colon - text));
    for (const char *at = colon + 1; at[0] != '\0' && at[1] != '\0' && o->psk_len < sizeof o->psk; at += 2) {
        const char digits[3] = {at[0], at[1], '\0'};
        o->psk[o->psk_len++] = (unsigned char)strtoul(digits, NULL, 16);
    }
}

static inline void peer_options(struct peer_options *o, int argc, char **argv)
{
    memset(o, 0, sizeof *o);
    o->server = argc > 1 && strcmp(argv[1], "server") == 0;
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        const char **text = strcmp(name, "--ca") == 0      ? &o->ca
                            : strcmp(name, "--cert") == 0  ? &o->cert
                            : strcmp(name, "--key") == 0   ? &o->key
                            : strcmp(name, "--group") == 0 ? &o->group
                            : strcmp(name, "--suite") == 0 ? &o->suite
                            : strcmp(name, "--early") == 0 ? &o->early
                            : strcmp(name, "--data") == 0  ? &o->data
                                                           : NULL;
        if (strcmp(name, "--resume") == 0)
            o->resume = true;
        else if (strcmp(name, "--require-client-cert") == 0)
            o->require_client_cert = true;
        else if (strcmp(name, "--port") == 0)
            o->port = (unsigned short)strtoul(argv[++i], NULL, 10);
        else if (strcmp(name, "--psk") == 0)
            peer_psk(o, argv[++i]);
        else if (text != NULL)
            *text = value, i++;
        else
            peer_die("unknown option", name);
    }
}

static inline struct peer_file peer_file(const char *path)
{
    struct peer_file file = {NULL, 0};
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        peer_die("cannot open", path);
    (void)fseek(f, 0, SEEK_END);
    file.len = (size_t)ftell(f);
    rewind(f);
    file.data = (unsigned char *)calloc(1, file.len + 1); /* PEM readers want its end marked */
    if (file.data == NULL || fread(file.data, 1, file.len, f) != file.len)
        peer_die("cannot read", path);
    (void)fclose(f);
    return file;
}

static inline int peer_socket(const struct peer_options *o, struct sockaddr_in *at)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_port = htons(o->port);
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline int peer_listen(const struct peer_options *o)
{
    struct sockaddr_in at;
    int fd = peer_socket(o, &at);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 8) != 0)
        peer_die("cannot listen", "127.0.0.1");
    return fd;
}

static inline int peer_connect(const struct peer_options *o)
{
    struct sockaddr_in at;
    int fd = peer_socket(o, &at);
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        peer_die("cannot connect", "127.0.0.1");
    return fd;
}

static inline bool peer_write_all(const struct peer_stream *s, const unsigned char *data, int len)
{
    for (int at = 0, n; at < len; at += n) {
        n = s->write(s->tls, data + at, len - at);
        if (n <= 0)
            return false;
    }
    return true;
}

static inline void peer_echo(const struct peer_stream *s)
{
    static unsigned char buf[PEER_PART];
    int n;
    while ((n = s->read(s->tls, buf, sizeof buf)) > 0 && peer_write_all(s, buf, n)) {
    }
}

/* peer_expect: read until all of it has come; ends the program when something else comes. */
static inline void peer_expect(const struct peer_stream *s, const unsigned char *data, int len)
{
    static unsigned char buf[PEER_PART];
    for (int at = 0, n; at < len; at += n) {
        n = s->read(s->tls, buf, len - at);
        if (n <= 0)
            peer_die("no echo", "the connection ended");
        if (memcmp(buf, data + at, (size_t)n) != 0)
            peer_die("echo", "it is not what was sent");
    }
}

static inline void peer_talk(const struct peer_stream *s, const struct peer_options *o)
{
    struct peer_file file = peer_file(o->data);
    size_t part = file.len / 4 < PEER_PART ? file.len / 4 : PEER_PART;
    for (size_t at = 0; at < file.len; at += part) {
        if (!peer_write_all(s, file.data + at, (int)part))
            peer_die("write", "the connection ended");
        peer_expect(s, file.data + at, (int)part);
    }
    free(file.data);
}

#endif
