/* cli/doctor.h: the two forms of `tpmtls doctor`'s page. Layer: cli. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "tpmtls/doctor.h"
#include "tpmtls/pki.h"

/* struct doctor_roots: what endorsement certificates are judged by; list may be NULL. */
struct doctor_roots {
    const struct tt_cert_list *list;
    int64_t now;
};

/* struct doctor_ek_view: an endorsement certificate for a person; info is NULL when it cannot be read. */
struct doctor_ek_view {
    struct tt_cert_info *info;
    bool expired, untrusted;
    const char *chain;
    const struct tt_doctor_ek_key *key; /* the one it was issued for, or NULL */
    bool judged;                        /* no key: of none of this TPM; false: that is not known */
};
struct doctor_ek_view doctor_ek_view(const struct tt_doctor *d, size_t i, const struct doctor_roots *roots);
void doctor_ek_view_free(struct doctor_ek_view *v);

/* doctor_ek_of_key: the NV index of the certificate that was issued for this key; 0: there is none. */
uint32_t doctor_ek_of_key(const struct tt_doctor *d, const struct tt_doctor_ek_key *key);

void doctor_print_text(const struct tt_doctor *d, const struct doctor_roots *roots);
void doctor_print_json(const struct tt_doctor *d, const struct doctor_roots *roots);

#endif
