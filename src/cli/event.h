/* cli/event.h: one JSON object a line on stderr, and text in JSON. Layer: cli. Nothing is lost: not for its
 * length, and not for bytes that are no UTF-8. */
#ifndef CLI_EVENT_H
#define CLI_EVENT_H

#include <jansson.h>

#include "tpmtls/error.h"

/* cli_event: print the object, with its time; takes the reference. NULL: it could not be made; that is told,
 * too. */
void cli_event(json_t *object);
/* cli_json_bytes: a string; where it is not UTF-8 each byte that is not printable ASCII is \\xNN. null when
 * there are none. */
json_t *cli_json_bytes(struct tt_bytes b);
/* cli_json_text: the same of a string, which may be NULL. */
json_t *cli_json_text(const char *text);

#endif
