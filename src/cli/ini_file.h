/* cli/ini_file.h: a file of options: sections, each with an option table, one key a line. Layer: cli. All
 * faults of a file are told at once, each with its line. */
#ifndef CLI_INI_FILE_H
#define CLI_INI_FILE_H

#include "cli/options.h"

/* struct ini_file: what the options of its sections point to; they live as long as it does. */
struct ini_file {
    char **texts;
    size_t texts_len;
    size_t faults; /* each was told, with its line */
};
void ini_file_free(struct ini_file *f);

/* ini_file_keep: a copy that lives as long as the file. NULL: no memory. */
const char *ini_file_keep(struct ini_file *f, const char *text);

/* ---- sections of fixed names ---- */

struct ini_section {
    const char *name;
    const struct option_part *parts;
    void *into; /* the struct that parts fill; zero before */
};

/* ini_file_read: `sections` ends with {0}; each may stand in the file once; the first one must. TT_ERR_USAGE
 * when something is wrong with the file, which was told on stderr then; TT_ERR_IO. */
TT_MUST_USE tt_rc ini_file_read(struct ini_file *ret, const char *path, const struct ini_section *sections,
                                struct tt_error *err);

/* ---- any sections ---- */

struct ini_reader;

/* struct ini_form: what the sections of a file are. */
struct ini_form {
    const char *hint; /* where a key stands before the first of them */
    /* A line [name]: options_begin for it, true; or false, and why not was told: its keys are passed over. */
    bool (*begin)(struct ini_reader *r, const char *name);
    /* May be NULL. Each key of a section that begin took. */
    void (*key)(struct ini_reader *r, const char *name, const char *value);
    /* May be NULL. The section is over; what it must have is there, and nothing contradicts another: what
     * else is wrong with it? */
    void (*end)(struct ini_reader *r, struct option_faults *f);
    /* Behind the last line, where no fault was found yet. */
    void (*whole)(struct ini_reader *r);
};

/* struct ini_reader: a file on its way. */
struct ini_reader {
    const struct ini_form *form;
    struct ini_file *file;
    void *arg;
    struct options options; /* of the section */
    /* ini_file.c's own: */
    const char *path;
    void *from;
    unsigned line, section_line;
    bool in_section, is_known;
};

/* ini_fault: told with the line that is being read. */
void ini_fault(struct ini_reader *r, const char *text, const char *hint);
/* ini_read: as ini_file_read. */
TT_MUST_USE tt_rc ini_read(struct ini_file *ret, const char *path, const struct ini_form *form, void *arg,
                           struct tt_error *err);

#endif
