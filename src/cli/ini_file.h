/* cli/ini_file.h: a file of options: sections of fixed names, each with its option table. Layer: cli. All
 * faults of a file are told at once, each with its line. */
#ifndef CLI_INI_FILE_H
#define CLI_INI_FILE_H

#include "cli/options.h"

struct ini_section {
    const char *name;
    const struct option_part *parts;
    void *into; /* the struct that parts fill; zero before */
};

/* struct ini_file: what the options of its sections point to; they live as long as it does. */
struct ini_file {
    char **texts;
    size_t texts_len;
    size_t faults;
};

/* ini_file_read: `sections` ends with {0}; each may stand in the file once; the first one must. TT_ERR_USAGE
 * when something is wrong with the file, which was told on stderr then; TT_ERR_IO. */
TT_MUST_USE tt_rc ini_file_read(struct ini_file *ret, const char *path, const struct ini_section *sections,
                                struct tt_error *err);
void ini_file_free(struct ini_file *f);

#endif
