/* tcp.h: a TCP connection, blocking. Each function returns 0, or -1. */
#ifndef TCP_H
#define TCP_H

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int tcp_connect(int *ret_fd, const char *target)
{
    char host[256];
    const char *colon = strrchr(target, ':');
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    if (colon == NULL ||
        snprintf(host, sizeof host, "%.*s", (int)(colon - target), target) >= (int)sizeof host ||
        getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    int fd = -1;
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    *ret_fd = fd;
    return fd < 0 ? -1 : 0;
}

static inline int tcp_write(int fd, const void *data, size_t len)
{
    for (const char *at = data; len > 0;) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static inline int tcp_read(int fd, void *ret, size_t len)
{
    for (char *at = ret; len > 0;) {
        ssize_t n = recv(fd, at, len, 0);
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

#endif
