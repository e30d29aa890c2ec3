/* tests/fuzz/fuzz.h: what every fuzz target includes. A target is one file, fuzz_NAME.c, with one entry
 * below; its name goes into the list of tests/fuzz/meson.build, a few small starting inputs into
 * tests/fuzz/corpus/NAME/.
 *
 * A target must be deterministic, free what it allocates (leaks are found), and check with FUZZ_CHECK what
 * must hold: not to crash is the least. `./dev fuzz SECONDS [NAME]` runs it; a finding is kept in
 * build-fuzz/artifacts. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

#endif
