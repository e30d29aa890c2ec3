/* base/process.h: which process this is, so that what fork has copied is known for a copy. Layer: base. */
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <stdint.h>
#include <unistd.h>

static inline int64_t process_id(void)
{
    return getpid();
}

#endif
