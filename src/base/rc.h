/* base/rc.h: the small tools every layer uses to pass errors on. Layer: base. */
#ifndef BASE_RC_H
#define BASE_RC_H

#include <stdarg.h>

#include "tpmtls/error.h"

/* TT_TRY: evaluate, and return the failure to our caller unchanged. */
#define TT_TRY(expr)                                                                                         \
    do {                                                                                                     \
        tt_rc tt_try_rc_ = (expr);                                                                           \
        if (tt_try_rc_ != TT_OK)                                                                             \
            return tt_try_rc_;                                                                               \
    } while (0)

/* TT_AUTO(fn): run fn(&variable) when the variable leaves its scope. Take the value out with TT_TAKE. */
#define TT_AUTO(fn) __attribute__((cleanup(fn)))
#define TT_TAKE(p)                                                                                           \
    __extension__({                                                                                          \
        __typeof__(p) tt_take_ = (p);                                                                        \
        (p) = NULL;                                                                                          \
        tt_take_;                                                                                            \
    })
/* TT_DEFINE_AUTO(type, fn): defines fn_auto(type **), for use as TT_AUTO(fn_auto). */
#define TT_DEFINE_AUTO(type, fn)                                                                             \
    static inline void fn##_auto(type **p_)                                                                  \
    {                                                                                                        \
        fn(*p_);                                                                                             \
    }

#define TT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* error_set: write a sentence into err (which may be NULL) and return rc, so that `return error_set(...)`
 * reads well. The first error wins: a later call on an err that already holds one changes nothing. Clears no
 * hint. */
tt_rc error_set(struct tt_error *err, tt_rc rc, const char *fmt, ...) TT_PRINTF(3, 4);

/* error_cut: a text that was cut within a character of UTF-8 loses the rest of it. */
void error_cut(char *text);
/* error_hint: add the advice to an err that has none yet. */
void error_hint(struct tt_error *err, const char *fmt, ...) TT_PRINTF(2, 3);

/* error_clear: back to "no error". err may be NULL. */
void error_clear(struct tt_error *err);

#endif
