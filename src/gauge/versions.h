/* gauge/versions.h: which libraries the program runs with. Layer: gauge. */
#ifndef GAUGE_VERSIONS_H
#define GAUGE_VERSIONS_H

#include <stdio.h>

/* gauge_print_versions: a line a library: that which runs, where it tells, else that which it was built with.
 */
void gauge_print_versions(FILE *to);

#endif
