/* net/files.h: for the program, which sees no layer below net. Layer: net. */
#ifndef NET_FILES_H
#define NET_FILES_H

#include "signer/file_read.h"

#endif
