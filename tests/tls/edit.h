/* tests/tls/edit.h: change one handshake message, and tables of such changes with the alert that must follow.
 * Tests only. */
#ifndef TESTS_EDIT_H
#define TESTS_EDIT_H

#include "tls/scene.h"

/* struct msg: a whole handshake message; its 24-bit length follows each change of size. */
struct msg {
    uint8_t data[160000];
    size_t len;
};

#define EDIT_TO_END 999999U

void msg_set(struct msg *m, struct tt_bytes whole);
/* msg_splice: replace `remove` bytes (EDIT_TO_END: all that follow) at `at`. */
void msg_splice(struct msg *m, size_t at, size_t remove, struct tt_bytes insert);
/* msg_ext_block: where the 16-bit length of the list of extensions stands; of Certificate: the first entry's.
 */
size_t msg_ext_block(const struct msg *m);
/* msg_find_ext: where the extension's type stands, or 0. */
size_t msg_find_ext(const struct msg *m, uint16_t type);

/* hex_bytes: "00 0102 ff*32" to bytes; returns how many. */
size_t hex_bytes(uint8_t *to, size_t cap, const char *hex);

enum edit_op {
    OP_NONE,
    OP_PUT,     /* at: extension type; hex: its data; replaces it, or is added at the end */
    OP_ADD,     /* the same, but always added at the end (a duplicate) */
    OP_FIRST,   /* the same, but put first */
    OP_DROP,    /* at: extension type */
    OP_SET,     /* at: offset; hex: overwrites as many bytes */
    OP_XOR,     /* at: offset; one bit of that byte changes */
    OP_XOR_END, /* the same, counted from behind: 1 is the last byte */
    OP_SPLICE,  /* at: offset, remove; hex: takes their place */
    OP_APPEND,  /* hex: behind the message's last byte */
    OP_BODY     /* hex: all behind the header */
};
struct edit {
    enum edit_op op;
    unsigned at;
    const char *hex;
    unsigned remove;
};
void msg_edit(struct msg *m, const struct edit *e);

/* The kinds of handshake that rows are tried in. */
enum scene_kind {
    KIND_PLAIN,
    KIND_ALPN,
    KIND_COOKIE, /* HelloRetryRequest with a cookie */
    KIND_GROUP,  /* HelloRetryRequest for P-384 */
    KIND_GROUP_COOKIE,
    KIND_P256, /* both ends have this group only */
    KIND_P384,
    KIND_AUTH,   /* the server demands a client's certificate, and the client has one */
    KIND_ASK,    /* the server asks for one, and the client has one */
    KIND_RSA,    /* certificates with RSA keys, both ends */
    KIND_SHA384, /* TLS_AES_256_GCM_SHA384 */
    KIND_NO_COMPAT,
    KIND_ONE_SCHEME,   /* like KIND_RSA, and rsa_pss_rsae_sha256 is all that is accepted */
    KIND_RESUME,       /* with a ticket */
    KIND_EARLY,        /* with a ticket and 0-RTT */
    KIND_RESUME_RETRY, /* with a ticket and a HelloRetryRequest */
    KIND_RAW,          /* raw public keys, both ends */
    KIND_COUNT
};
/* scene_of: the configurations of a kind, made when first asked for; scenes_free: all of them. */
struct scene *scene_of(enum scene_kind kind);
void scenes_free(void);

/* struct row: a message that is changed before it reaches an end in state `at`, and what must follow:
 * TT_ALERT_NONE when it must be accepted. `skip`: so many messages are delivered in that state before. */
struct row {
    const char *what;
    enum scene_kind kind;
    enum conn_state at;
    unsigned alert;
    struct edit edits[2];
    unsigned skip;
};
#define ROW(text, kind, at, alert, ...)                                                                      \
    {                                                                                                        \
        text, KIND_##kind, at, TT_ALERT_##alert, {__VA_ARGS__}, 0                                            \
    }
/* The same after n messages in that state. */
#define ROW_AFTER(n, text, kind, at, alert, ...)                                                             \
    {                                                                                                        \
        text, KIND_##kind, at, TT_ALERT_##alert, {__VA_ARGS__}, n                                            \
    }
/* The edits of a row, spelled as values: EDIT(op, at, hex) and for SPLICE also how much goes. */
#define EDIT(op, at, hex)                                                                                    \
    {                                                                                                        \
        op, at, hex, 0                                                                                       \
    }
#define PUT(type, hex) EDIT(OP_PUT, type, hex)
#define ADD(type, hex) EDIT(OP_ADD, type, hex)
#define DROP(type)     EDIT(OP_DROP, type, NULL)
#define SET(at, hex)   EDIT(OP_SET, at, hex)
#define XOR_END(at)    EDIT(OP_XOR_END, at, NULL)
#define XOR(at)        EDIT(OP_XOR, at, NULL)
#define BODY(hex)      EDIT(OP_BODY, 0, hex)
#define APPEND(hex)    EDIT(OP_APPEND, 0, hex)
#define SPLICE(at, remove, hex)                                                                              \
    {                                                                                                        \
        OP_SPLICE, at, hex, remove                                                                           \
    }

/* The base points of P-256 and P-384: points that are on the curve. */
#define P256_X "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
#define P256_Y "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
#define P256_P "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
#define P384_X                                                                                               \
    "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
#define P384_Y                                                                                               \
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"

/* rows_main: run all rows of all tables, each as a test of its own. */
struct row_table {
    const struct row *rows;
    size_t n;
};
int rows_main(const char *group, const struct row_table *tables, size_t n);

/* row_deliver: hand a changed message to the end, in as many records as it takes. */
tt_rc row_deliver(struct scene *s, enum tt_role to, struct tt_bytes message);
enum tt_role row_role(enum conn_state at);

#endif
