/* ca/profile.h: what a CA issues: its profiles file, read once and checked whole. Layer: ca. docs/ca.md has
 * the keys; profile_text.c the file that `ca init` writes.
 *
 * A profile decides all that the request does not: how long, for which purpose, which names and keys. */
#ifndef CA_PROFILE_H
#define CA_PROFILE_H

#include "base/buf.h"

#define PROFILES_MAX     32
#define PROFILE_NAME_MAX 48
#define PROFILE_LIST_MAX 32

/* struct words: the words of a value, separated by blanks or commas. */
struct words {
    char *at[PROFILE_LIST_MAX];
    size_t len;
};

enum profile_approval {
    APPROVAL_NEVER,
    APPROVAL_UNATTESTED, /* what came without evidence waits for a person */
    APPROVAL_ALWAYS
};

/* REQUESTER: the bit of an enum ca_who. */
#define REQUESTER(who) (1u << (who))

struct profile {
    char name[PROFILE_NAME_MAX];
    unsigned days, max_days; /* max_days 0: as long as the CA itself */
    bool ca;
    unsigned path_len;
    unsigned usage;        /* KEY_USAGE bits */
    struct words purposes; /* ExtendedKeyUsage; client and server by name */
    struct words policies; /* OIDs */
    struct words names;    /* rules: "DNS:*.example.org" */
    struct words add;      /* names every certificate gets: "DNS:{cn}.example.org" */
    struct words keys;     /* "P-256 RSA-3072"; none: all that TLS 1.3 can use */
    struct words crl_url;
    char *ocsp_url, *issuer_url;
    unsigned names_max;
    bool wildcards;
    bool need_host; /* a DNS or IP name */
    bool need_subject;
    bool must_staple, delegation, attestation, one_identity, ocsp_nocheck;
    unsigned requesters; /* REQUESTER bits: who may have it besides a person at the machine */
    bool requesters_said;
    enum profile_approval approval;
    struct buf fixed; /* the extensions that all its certificates have alike, as DER */
};

struct profiles {
    struct profile at[PROFILES_MAX];
    size_t len;
    const char *names[PROFILES_MAX + 1];
    char *default_name;
    char *delta_url; /* in the CRL, where its deltas are to be had; NULL: nothing is said of any */
    unsigned crl_days, crl_overlap_hours, ocsp_hours;
    unsigned refused_days; /* how long requests that were refused are kept; 0: for good */
};

/* profiles_read: where is its name in messages; key_id: the CA's key identifier in hexadecimal, which {key}
 * in a URL stands for. TT_ERR_USAGE names the line. Free with profiles_free. */
TT_MUST_USE tt_rc profiles_read(struct profiles **ret, const char *text, const char *where,
                                const char *key_id, struct tt_error *err);
void profiles_free(struct profiles *p);
TT_DEFINE_AUTO(struct profiles, profiles_free)
/* profiles_find: NULL: there is none of that name; name NULL or "": the default. */
const struct profile *profiles_find(const struct profiles *p, const char *name);

/* The file of a new CA; %s stand for the URLs of CRL, OCSP and issuer, with their keys, or for comments. */
extern const char profiles_builtin[];

#endif
