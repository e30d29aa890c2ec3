/* pki/flaw.h: what may be wrong with a request, as far as it shows without knowing who asks. Layer: pki. The
 * sentence is in struct tt_error; this is for whoever has to act on it. */
#ifndef PKI_FLAW_H
#define PKI_FLAW_H

enum csr_flaw {
    FLAW_NONE,
    FLAW_DAMAGED,
    FLAW_TOO_LARGE,
    FLAW_SIGNATURE,
    FLAW_SIGNATURE_KIND,
    FLAW_KEY_WEAK,
    FLAW_KEY_DAMAGED,
    FLAW_KEY_KIND,
    FLAW_ASKS_CA,
    FLAW_CRITICAL_EXTENSION,
    FLAW_DUPLICATE,
    FLAW_SUBJECT_EMPTY, /* and no alternative names */
    FLAW_CHARACTERS,
    FLAW_NAME_KIND,
    FLAW_NAME_FORM,
    FLAW_NAMES_MANY
};

#endif
