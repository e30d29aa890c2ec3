/* gauge/handshakes.h: whole handshakes, measured; and what follows from both tables. Layer: gauge. */
#ifndef GAUGE_HANDSHAKES_H
#define GAUGE_HANDSHAKES_H

#include "gauge/commands.h"

/* gauge_handshakes: fills in page->handshakes. `spec` is opened anew for each cold start. */
TT_MUST_USE tt_rc gauge_handshakes(struct gauge_run *run, struct tt_tpm *tpm, const char *spec,
                                   struct tt_error *err);
/* gauge_figures: from the tables. */
void gauge_figures(struct gauge_page *page);

#endif
