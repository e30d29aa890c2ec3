/* tpm/space.h: the keeper's resource manager: each connection sees only its own objects and sessions, as
 * behind /dev/tpmrm0. Layer: tpm. Runs in the forked keeper: no allocation, no stdio, only system calls.
 *
 * One connection's things are in the chip at a time. When another connection sends a command they are saved
 * with TPM2_ContextSave and the other one's are loaded; a client's handles are virtual so that they stay the
 * same. Session handles are the TPM's own, which do not change. */
#ifndef TPM_SPACE_H
#define TPM_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TPM_MAX_MESSAGE         4096 /* of a command and of a response */
#define SPACE_OBJECTS           4    /* a TPM has three slots */
#define SPACE_SESSIONS          8
#define SPACE_COMMANDS          256
#define SPACE_MAX_SAVED_SESSION 2048
/* A TPM numbers saved sessions, and refuses to go on when the oldest is too far behind: by 255 at least, by
 * 65,535 in practice (TPM_PT_CONTEXT_GAP_MAX). What is so old is loaded and saved again, long before. */
#define SPACE_GAP 16384
#define SPACE_GAP_LAST                                                                                       \
    60000 /* one that a client keeps itself cannot be saved again by us: it is given up                      \
           */

struct space_object {
    bool used;
    uint32_t real; /* while the space is active */
    size_t saved_len;
    uint8_t saved[TPM_MAX_MESSAGE];
};

struct space_session {
    bool used;
    bool kept_by_client; /* the client saved it; it is not ours to load */
    uint32_t handle;
    uint64_t saved_at; /* how many sessions had been saved by then */
    size_t saved_len;
    uint8_t saved[SPACE_MAX_SAVED_SESSION];
};

/* struct space: what one connection has. */
struct space {
    struct space_object objects[SPACE_OBJECTS];
    struct space_session sessions[SPACE_SESSIONS];
};

/* struct space_tpm: the chip, and whose things are in it. */
struct space_tpm {
    int fd;
    struct space *active; /* or NULL */
    struct space *all;    /* every connection's space */
    size_t all_count;
    uint64_t saves; /* of sessions */
    uint64_t gap;   /* SPACE_GAP, or less */
    size_t commands;
    uint32_t attributes[SPACE_COMMANDS]; /* TPMA_CC of each command the chip has */
    uint8_t scratch[TPM_MAX_MESSAGE];
};

/* space_open: the chip answers on fd; learns its commands. False: it does not work. */
bool space_open(struct space_tpm *t, int fd, struct space *all, size_t count);

/* space_run: a client's whole command (at least a header) and its whole response; command is changed in
 * place. False: the chip is gone. */
bool space_run(struct space_tpm *t, struct space *s, uint8_t *command, size_t len, uint8_t *ret_response,
               size_t *ret_len);

/* space_drop: the client is gone: flush all it had. */
void space_drop(struct space_tpm *t, struct space *s);

/* space_shutdown: TPM2_Shutdown(CLEAR), so that the next start is not counted as a crash. */
void space_shutdown(struct space_tpm *t);

#endif
