/* tpm/loaded.h: which transient objects and sessions in the TPM are ours: as the commands announce and the
 * answers tell, kept in memory and, for a TPM without a resource manager, in a file that outlives us. Layer:
 * tpm. What is done about what others left: tpm/leftovers.h.
 *
 * A resource manager throws out what belongs to a connection that ended, kill -9 included. Without one it
 * stays and takes one of three slots. So what a command is about to load is written down before it is sent,
 * and at which handle it is when that is known.
 *
 * Records are files in $XDG_RUNTIME_DIR/tpmtls (for root without one: /run/tpmtls); without such a directory
 * there are none. Who writes one holds its lock. */
#ifndef TPM_LOADED_H
#define TPM_LOADED_H

#include "base/rc.h"
#include "tpmtls/key.h"

#define LOADED_MAX        6
#define LOADED_SESSIONS   4
#define LOADED_NAME_MAX   66
#define LOADED_PUBLIC_MAX 1024 /* TPM2B_PUBLIC; RSA 4096 with a policy takes 620 */

struct loaded_object {
    uint32_t handle;
    uint8_t name[LOADED_NAME_MAX];
    size_t name_len;
};

struct loaded_context { /* of a saved object: which name it will have again */
    uint64_t sequence;
    uint8_t name[LOADED_NAME_MAX];
    size_t name_len;
};

/* struct loaded_pending: what a command that was sent and not answered may have put into the TPM. */
struct loaded_pending {
    enum loaded_kind {
        LOADED_NOTHING,
        LOADED_BY_PUBLIC,   /* Load: this TPM2B_PUBLIC */
        LOADED_BY_TEMPLATE, /* CreatePrimary: this one, but for what the TPM fills in */
        LOADED_BY_NAME,     /* ContextLoad */
        LOADED_SESSION      /* StartAuthSession: one byte, the handle's type */
    } kind;
    uint8_t data[LOADED_PUBLIC_MAX];
    size_t len;
};

struct loaded {
    struct loaded_object objects[LOADED_MAX];
    size_t len;
    uint32_t sessions[LOADED_SESSIONS];
    size_t sessions_len;
    uint64_t sessions_ms; /* CLOCK_BOOTTIME, when the last was started */
    struct loaded_pending pending;
    struct loaded_context contexts[LOADED_MAX];
    size_t contexts_next;
    bool managed; /* by a resource manager: objects end with the connection that loaded them, and the kernel's
                     answers a question about one that it does not know with an error of the transport */
    int fd;       /* of the record, locked; -1: none */
    char *where;  /* owned; NULL: nothing is recorded */
    char path[160];
};

/* loaded_command: before a command is sent. loaded_answer: it was answered, with this code. */
struct loaded_question {
    uint32_t command, handle; /* the first handle, or what stands in its place */
    uint64_t sequence;        /* TPM2_ContextLoad */
};
void loaded_command(struct loaded *l, struct loaded_question *ret, struct tt_bytes command);
void loaded_answer(struct loaded *l, const struct loaded_question *q, uint32_t code,
                   struct tt_bytes response);
/* loaded_ended: a session that ended with the command it was used in. */
void loaded_ended(struct loaded *l, uint32_t handle);
/* loaded_forget: nothing of it is in the TPM any more. */
void loaded_forget(struct loaded *l);
/* loaded_close: all was flushed, or belongs to a connection that is closed: the record is removed. */
void loaded_close(struct loaded *l);

/* loaded_needs_record: no resource manager stands before the TPM of this spec, as far as its text tells. */
bool loaded_needs_record(const char *spec);
/* loaded_record: from now on, for the TPM at `where`. */
void loaded_record(struct loaded *l, const char *where);
/* loaded_dir: where the records are. False: there are none. */
bool loaded_dir(char *ret, size_t cap);
/* loaded_read: what a record says, whose `where` is then to be freed. Hostile: what is not as we write it is
 * left out. */
TT_MUST_USE tt_rc loaded_read(struct loaded *ret, int fd);

#define LOADED_PREFIX "loaded-" /* of the records' names */

#endif
