/* lab/options.h: the string that says what the lab does (docs/lab-tcti.md): OPTION,OPTION,...:INNER. Layer:
 * lab. */
#ifndef LAB_OPTIONS_H
#define LAB_OPTIONS_H

#include "lab/profile.h"

#define LAB_MAX_FAULTS 16

enum lab_action {
    LAB_CODE,     /* answer with a response code; the chip sees nothing */
    LAB_DROP,     /* the chip works, its answer is lost */
    LAB_TRUNCATE, /* the answer ends after some bytes, its header still tells the old length */
    LAB_SHORTEN,  /* the same, and the header tells the new length */
    LAB_GARBLE,   /* noise behind a header that is in order */
    LAB_ENOMEM,   /* the kernel has no memory for the command: it is not sent */
    LAB_HANG,     /* the answer never comes, or after some milliseconds it is known that it does not */
    LAB_RESTART   /* the chip starts anew before the command: sessions, objects, saved contexts are gone */
};

struct lab_fault {
    enum lab_action action;
    uint32_t value;       /* the response code, the bytes to keep, milliseconds; UINT32_MAX: not given */
    uint32_t command;     /* TPM_CC; 0: any */
    uint32_t first, last; /* which ones of these commands, from 1 */
    uint32_t seen;
};

/* Algorithms the chip lacks: bits of lab_options.lacks. */
enum lab_lack {
    LAB_NO_SHA1 = 1 << 0,
    LAB_NO_SHA384 = 1 << 1,
    LAB_NO_SHA512 = 1 << 2,
    LAB_NO_P256 = 1 << 3,
    LAB_NO_P384 = 1 << 4,
    LAB_NO_P521 = 1 << 5,
    LAB_NO_RSA2048 = 1 << 6,
    LAB_NO_RSA3072 = 1 << 7,
    LAB_NO_RSA4096 = 1 << 8
};

struct lab_options {
    const struct lab_profile *profile; /* NULL: as fast as the chip is */
    uint64_t seed;
    bool jitter;
    bool virtual_clock; /* delays are reported, not waited for */
    char report[256];   /* a file's name, or "" */
    unsigned lacks;
    unsigned slots; /* of transient objects; 0: as many as the chip has */
    bool max_salt;
    bool mldsa; /* ML-DSA of version 1.85, by libcrypto */
    bool fips;  /* TPMA_MODES says FIPS 140-2 */
    struct lab_fault faults[LAB_MAX_FAULTS];
    size_t faults_len;
    char inner[512]; /* a TCTI string; "" is tpm2-tss' default */
};

/* lab_options_parse: TT_ERR_USAGE with a sentence that names what is wrong. */
TT_MUST_USE tt_rc lab_options_parse(struct lab_options *ret, const char *text, struct tt_error *err);

#endif
