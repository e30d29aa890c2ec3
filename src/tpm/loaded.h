/* tpm/loaded.h: which transient objects in the TPM are ours: handle and name, as the answers tell, kept in
 * memory and, for a TPM without a resource manager, in a file that outlives us. Layer: tpm.
 *
 * A resource manager throws out what belongs to a connection that ended, kill -9 included. Without one it
 * stays and takes one of three slots. The next start, or the next opening, removes what it can prove to be
 * ours: an object recorded by a process that is gone (its lock on the record is free) whose name at that
 * handle is still the recorded one. Not provable, and left alone: sessions, which have no name, and an object
 * whose load was answered after we died.
 *
 * Records are files in $XDG_RUNTIME_DIR/tpmtls (for root without one: /run/tpmtls); without such a directory
 * there are none. */
#ifndef TPM_LOADED_H
#define TPM_LOADED_H

#include "base/rc.h"
#include "tpmtls/key.h"

#define LOADED_MAX      6
#define LOADED_NAME_MAX 66

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

struct loaded {
    struct loaded_object objects[LOADED_MAX];
    size_t len;
    struct loaded_context contexts[LOADED_MAX];
    size_t contexts_next;
    bool managed; /* by a resource manager: objects end with the connection that loaded them, and the kernel's
                     answers a question about one that it does not know with an error of the transport */
    int fd;       /* of the record, locked; -1: none */
    char *where;  /* owned; NULL: nothing is recorded */
    char path[160];
};

/* loaded_command: before a command is sent. loaded_answer: it succeeded. */
struct loaded_question {
    uint32_t command, handle; /* the first handle, or what stands in its place */
    uint64_t sequence;        /* TPM2_ContextLoad */
};
void loaded_command(struct loaded_question *ret, struct tt_bytes command);
void loaded_answer(struct loaded *l, const struct loaded_question *q, struct tt_bytes response);
/* loaded_close: all was flushed, or belongs to a connection that is closed: the record is removed. */
void loaded_close(struct loaded *l);

/* loaded_needs_record: no resource manager stands before the TPM of this spec, as far as its text tells. */
bool loaded_needs_record(const char *spec);
/* loaded_inherit: take over, into l, what processes that are gone recorded for the same `where`. */
void loaded_inherit(struct loaded *l, const char *where);
/* loaded_clean: flush what l lists, unless managed, and forget it; on a new connection, before anything is
 * loaded. */
void loaded_clean(struct tt_tpm *tpm);

#endif
