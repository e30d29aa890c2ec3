/* support/range.h: a number between two others, both included. cmocka 2 deprecates assert_in_range for names
 * that cmocka 1.1 of Debian 12 does not have. Include after cmocka.h. */
#ifndef SUPPORT_RANGE_H
#define SUPPORT_RANGE_H

#include <stdint.h>

#define assert_between(value, low, high)                                                                     \
    do {                                                                                                     \
        intmax_t between_value = (intmax_t)(value);                                                          \
        if (between_value < (intmax_t)(low) || between_value > (intmax_t)(high))                             \
            fail_msg("%s is %jd, not in %jd to %jd", #value, between_value, (intmax_t)(low),                 \
                     (intmax_t)(high));                                                                      \
    } while (0)

#endif
