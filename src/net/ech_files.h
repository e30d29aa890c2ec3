/* net/ech_files.h: a server's ECH keys, from files that may change. Layer: net.
 *
 * A path is a file of `tpmtls ech-key` (PEM, RFC 9934), or a directory of such (*.ech; the last name comes
 * first). What comes first is most wanted: of each KEM the first one's configs are sent as retry_configs, all
 * others only open what clients with older configs send. The private key stands in the file, or is in the TPM
 * (TSS2 PRIVATE KEY in its place); that is a struct held_ech. A change is taken as a whole, or, when anything
 * cannot be read, not at all: that is told, and the keys before stay. What is gone leaves use: with no key
 * left, clients are told of none. */
#ifndef NET_ECH_FILES_H
#define NET_ECH_FILES_H

#include "net/sign_queue.h"
#include "tpmtls/tls.h"

#define ECH_PATHS_MAX 16

struct ech_files;
struct ech_files_options {
    struct event_base *base;
    const char *const *paths; /* must outlive it */
    size_t paths_len;
    struct tt_tpm *tpm; /* for keys in it; NULL: they are refused */
    bool begins_later;  /* with use_queue: it is made on another thread than the loop's */
    /* What happened to the keys; may be NULL. is_trouble: somebody has to do something. */
    void (*told)(void *arg, const char *text, bool is_trouble);
    void *arg;
};
/* ech_files_want_tpm: does any of them name a key in a TPM? What cannot be read does not. */
bool ech_files_want_tpm(const char *const *paths, size_t n);
/* ech_files_new: reads them all, on this thread: before the queue has the TPM, which is given then. */
TT_MUST_USE tt_rc ech_files_new(struct ech_files **ret, const struct ech_files_options *opt,
                                struct tt_error *err);
void ech_files_use_queue(struct ech_files *f, struct sign_queue *queue);
/* ech_files_keys: for the configuration; owned by f. */
struct tt_ech_keys *ech_files_keys(const struct ech_files *f);
/* ech_files_stop: reads nothing any more; before the queue is freed. ech_files_free: behind the queue and the
 * configuration, and before the TPM. NULL is fine for both. */
void ech_files_stop(struct ech_files *f);
void ech_files_free(struct ech_files *f);

#endif
