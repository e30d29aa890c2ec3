/* gauge/gauge.h: what a TPM costs: each command TLS needs, then whole handshakes, measured on the TPM that is
 * named. The face for cli/cmd_bench.c. Layer: gauge: the program's own, not the library's.
 *
 * Nothing is written that stays: objects are transient, keys are never kept. Times are microseconds of
 * CLOCK_MONOTONIC unless they are said to be CPU time. */
#ifndef GAUGE_GAUGE_H
#define GAUGE_GAUGE_H

#include "base/rc.h"
#include "tpmtls/doctor.h"
#include "tpmtls/key.h"

#define GAUGE_COMMANDS   64
#define GAUGE_HANDSHAKES 16
#define GAUGE_FIGURES    16

/* struct gauge_stats: of n values; percentiles by nearest rank. */
struct gauge_stats {
    size_t n;
    double min, p50, p95, p99, max, mean;
};

/* struct gauge_command: one TPM command, measured. */
struct gauge_command {
    char name[24];          /* "Sign", "StartAuthSession salted" */
    char key[12];           /* "p256", "hmac", ..., or "" */
    bool encrypted;         /* in a salted session with parameter encryption */
    struct gauge_stats tpm; /* from the command's first byte to the answer's last */
    double call_us;         /* the whole ESAPI call, median */
    char why[160];          /* without n: why there is no figure */
};

enum gauge_key {
    GAUGE_TPM_KEY,
    GAUGE_SOFTWARE_KEY,
    GAUGE_WAITING_KEY /* in software, and before it signs it sleeps as long as the TPM took */
};
/* struct gauge_handshake: one kind of handshake; both ends in this process, mutual authentication, X25519,
 * AES-128-GCM; the client's key is what is measured, the server's is in software. */
struct gauge_handshake {
    char name[12];     /* "full", "resumed", "cold" */
    char key[12];      /* of the client */
    enum gauge_key in; /* where the client's key is */
    double commands;   /* TPM commands for each, mean */
    double tpm_us;     /* their time, median; of a waiting key: its sleep */
    double cpu_us;     /* CPU time of this process, both ends, median */
    double rest_us;    /* wall clock without the TPM's time, median */
    double sum_us;     /* cold: the sum of the commands it needs, as measured one by one; or 0 */
    double sign_us;    /* full, in the TPM: its time for the signature alone, in turns with them; or 0 */
    double per_second; /* one after the other */
    double share;      /* the TPM's time in the whole, 0 to 1 */
    struct gauge_stats wall;
    char why[240];
};

/* struct gauge_figure: what follows from the tables. value is NAN where it cannot be told. */
struct gauge_figure {
    char key[40];
    char text[120];
    double value;
    double at_most; /* our own limit, or 0 */
};

/* struct gauge_page: one TPM, measured. */
struct gauge_page {
    char where[320], profile[120];
    char manufacturer[8], vendor[20], firmware[32], spec[32], kind[12];
    bool emulated;
    char system[160], cpu[120], libcrypto[64];
    struct gauge_command commands[GAUGE_COMMANDS];
    size_t commands_len;
    struct gauge_handshake handshakes[GAUGE_HANDSHAKES];
    size_t handshakes_len;
    struct gauge_figure figures[GAUGE_FIGURES];
    size_t figures_len;
};

struct gauge_options {
    const char *tpm;     /* as for tt_tpm_open; with a profile: the TCTI behind it */
    const char *profile; /* of the lab, with its other options: "slb9670,jitter=off"; NULL: none */
    double seconds;      /* for each row; at least one value is always taken */
    bool commands, handshakes;
    /* progress: what is measured now, the nth row; n only grows. May be NULL. */
    void (*progress)(void *arg, const char *what, unsigned n);
    void *arg;
};

/* gauge_run: fill in *ret. TT_ERR_TPM when the TPM cannot be reached; a row that fails says so in its why. */
TT_MUST_USE tt_rc gauge_run(struct gauge_page *ret, const struct gauge_options *opt, struct tt_error *err);

/* struct gauge_swtpm: an emulated TPM of our own, for profiles without a TPM behind them. */
struct gauge_swtpm {
    char dir[64], tcti[128];
    int pid; /* 0: none */
};
/* gauge_swtpm_start: TT_ERR_TPM with a hint when there is no swtpm. gauge_swtpm_stop: and its state goes. */
TT_MUST_USE tt_rc gauge_swtpm_start(struct gauge_swtpm *ret, struct tt_error *err);
void gauge_swtpm_stop(struct gauge_swtpm *t);

#endif
