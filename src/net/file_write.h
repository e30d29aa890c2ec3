/* net/file_write.h: for the program, which sees no layer below net. Layer: net. */
#ifndef NET_FILE_WRITE_H
#define NET_FILE_WRITE_H

#include "signer/file_write.h"

#endif
