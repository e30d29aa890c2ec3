/* net/listen.h: listening sockets from what a person writes: an address, a path, or what systemd passes on.
 * Layer: net. Accepts nothing and knows no event loop. */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include "net/address.h"

#define LISTENERS_MAX    8
#define LISTEN_NAME_MAX  120 /* "unix:" and the longest path a socket can have */
#define LISTEN_UNIX_MODE 0660

/* struct listeners: non-blocking, close-on-exec sockets. Zero is none. */
struct listeners {
    size_t n;
    int fd[LISTENERS_MAX];
    char name[LISTENERS_MAX]
             [LISTEN_NAME_MAX]; /* "127.0.0.1:40961", "unix:/run/x", with the port that it got */
    bool owns_path;             /* name[0] is a path, which listen_close removes if it is still this file */
    uint64_t device, inode;
    int64_t made_s, made_ns; /* numbers of files are used again */
};

/* listen_open: where is
 *   ADDR:PORT       every address of that name, with one port where the port is 0; ":PORT" is all there are.
 *                   An address this machine does not have is left out while another is left.
 *   unix:PATH       mode 0660. A socket that is there and that nobody answers is replaced.
 *   systemd[:NAME]  the sockets of a unit that is activated by them, or those of that FileDescriptorName.
 *                   They are copies: the same can be opened again.
 * All or none. TT_ERR_USAGE: where has no such form; TT_ERR_BUSY: somebody else has it (the hint finds out
 * who). */
TT_MUST_USE tt_rc listen_open(struct listeners *ret, const char *where, struct tt_error *err);
/* struct listen_handed: listening sockets that another process gave this one, owned. Zero is none. */
#define LISTEN_HANDED_MAX  128
#define LISTEN_STORED_NAME "tpmtls-" /* what notify_store called them begins so */
struct listen_handed {
    size_t n;
    int fd[LISTEN_HANDED_MAX];
};
/* listen_adopt: as listen_open, but what is there among the handed is not opened anew, and is then the
 * listeners'. */
TT_MUST_USE tt_rc listen_adopt(struct listeners *ret, const char *where, struct listen_handed *handed,
                               struct tt_error *err);
/* listen_stored: those that systemd's file descriptor store kept for this service. */
void listen_stored(struct listen_handed *ret);
/* listen_handed_close: those that nobody wanted. */
void listen_handed_close(struct listen_handed *h);
/* listen_disown: the paths stay when they are closed: another process has the same sockets. */
void listen_disown(struct listeners *l);
/* listen_check: has `where` one of these forms. Opens and looks up nothing. */
TT_MUST_USE tt_rc listen_check(const char *where, struct tt_error *err);
/* listen_address: the first form of listen_open, parsed already. */
TT_MUST_USE tt_rc listen_address(struct listeners *ret, const struct address *at, struct tt_error *err);
/* listen_close: `l` is empty afterwards; NULL is fine. */
void listen_close(struct listeners *l);

/* listen_is_local: can only this machine reach it: 127.0.0.0/8, ::1, localhost, a path. What systemd passes
 * on counts as local here, since nothing is opened; listeners_are_local looks. */
bool listen_is_local(const char *where);
bool listeners_are_local(const struct listeners *l);

#endif
