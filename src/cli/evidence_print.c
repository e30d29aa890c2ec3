/* cli/evidence_print.c: see evidence_print.h. Layer: cli. */
#include "cli/evidence_print.h"

#include <stdio.h>
#include <string.h>

#include "cli/term.h"

/* struct shown: the lines so far; json is NULL for a person. */
struct shown {
    json_t *json;
    char section[40];
};

/* A member's name: "key_s_qualified_name". */
static const char *member_of(char ret[64], const char *name)
{
    (void)snprintf(ret, 64, "%s", name);
    for (char *c = ret; *c != '\0'; c++)
        if (strchr(" ',:", *c) != NULL)
            *c = '_';
    return ret;
}

static void show_line(void *arg, const char *section, const char *name, const char *text)
{
    struct shown *s = arg;
    if (s->json != NULL) {
        char member[64];
        json_t *lines = json_object_get(s->json, member_of(member, section));
        if (lines == NULL) {
            lines = json_object();
            (void)json_object_set_new(s->json, member, lines);
        }
        (void)json_object_set_new(lines, member_of(member, name), json_string(text));
        return;
    }
    if (strcmp(s->section, section) != 0)
        printf("%s%s%s%s\n", s->section[0] != '\0' ? "\n" : "", term_on(TERM_HEAD), section, term_off());
    (void)snprintf(s->section, sizeof s->section, "%s", section);
    printf("  %-22s%s\n", name, text);
}

void evidence_print(const struct tt_evidence *e, json_t *json)
{
    struct shown s = {.json = json};
    tt_evidence_each(e, show_line, &s);
}
