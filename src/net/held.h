/* net/held.h: a PSK that a TPM holds (tt_session_hold), as two HMAC keys, and what a connection asks of the
 * TPM beside signatures, on the thread that owns it: computations with such a PSK, and with an ECH key.
 * Layer: net. tt_psk_request.key of every session that goes into a stream is a struct held_psk,
 * tt_ech_request.key a struct held_ech. */
#ifndef NET_HELD_H
#define NET_HELD_H

#include "net/sign_queue.h"
#include "tpmtls/tls.h"

struct held_psk;

/* struct held_files: the two key files (NUL-terminated PEM), to be freed with held_files_free. */
struct held_files {
    char *k1, *k2;
};
void held_files_free(struct held_files *f);

/* held_provision: put the PSK of s into the TPM; *ret is the session without it. The TPM's owner calls it.
 * What k1 and k2 passed through is wiped. description goes into the files. */
TT_MUST_USE tt_rc held_provision(struct tt_session **ret, struct held_files *ret_files, struct tt_tpm *tpm,
                                 const struct tt_session *s, const char *description, struct tt_error *err);

/* held_open: from the two files; nothing is sent to the TPM. */
TT_MUST_USE tt_rc held_open(struct held_psk **ret, struct tt_tpm *tpm, const struct held_files *files,
                            struct tt_error *err);
/* held_load: load both now, on the thread of the TPM, so that a handshake needs two HMACs and one context. */
TT_MUST_USE tt_rc held_load(struct held_psk *h, struct tt_error *err);
/* held_compute: answer a tt_psk_request. What is computed from the key exchange is secret and travels
 * encrypted.
 */
TT_MUST_USE tt_rc held_compute(struct held_psk *h, enum tt_psk_operation operation, uint8_t ret[32],
                               struct tt_bytes input, struct tt_error *err);
void held_free(struct held_psk *h); /* NULL is fine; on the thread of the TPM, or after the queue */

/* struct held_ech: an ECH key of a server in a TPM: tt_ech_request.key (net/ech_files.h). */
struct held_ech {
    struct tt_ecdh *key;
    struct held_ech **retired; /* where it goes when no handshake needs it any more */
    struct held_ech *next;
};

/* struct held_question: 32 bytes that a TPM computes from a key and an input of at most 128 bytes. */
struct held_question {
    tt_rc (*compute)(const struct held_question *q, uint8_t ret[32], struct tt_error *err);
    void *key;
    enum tt_psk_operation operation; /* of a PSK */
    struct tt_bytes input;           /* copied */
};
/* held_of_psk, held_of_ech: what a connection asks. */
struct held_question held_of_psk(const struct tt_psk_request *request);
struct held_question held_of_ech(const struct tt_ech_request *request);

/* struct held_job: one computation on the queue's thread. */
struct held_job;
/* held_job_submit: `done` as in sign_request; from it, held_job_output. */
TT_MUST_USE tt_rc held_job_submit(struct held_job **ret, struct sign_queue *q,
                                  const struct held_question *question, const struct sign_request *how,
                                  struct tt_error *err);
/* held_job_output: 32 bytes, once it was done without an error. */
struct tt_bytes held_job_output(const struct held_job *job);
/* held_job_free: in any state; one that is still being worked on calls nobody back. NULL is fine. */
void held_job_free(struct held_job *job);

#endif
