/* cli/evidence_print.h: evidence, explained line by line. Layer: cli. */
#ifndef CLI_EVIDENCE_PRINT_H
#define CLI_EVIDENCE_PRINT_H

#include <jansson.h>

#include "tpmtls/attest.h"

/* evidence_print: into the JSON object, a member for each section; json NULL: to standard output, for a
 * person. */
void evidence_print(const struct tt_evidence *e, json_t *json);

#endif
