/* cli/suggest.c: the nearest name to one that is not known. Layer: cli. */
#include <string.h>

#include "cli/options.h"

#define NAME_MAX_LENGTH 40

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many letters have to be changed, put in, left out or swapped with their neighbour (optimal string
 * alignment). */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[3][NAME_MAX_LENGTH + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NAME_MAX_LENGTH || b_len > NAME_MAX_LENGTH)
        return NAME_MAX_LENGTH;
    for (size_t j = 0; j <= b_len; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *two_before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = least(least(before[j] + 1, now[j - 1] + 1), before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return row[a_len % 3][b_len];
}

/* Nearer than what was there, and at most a third of it wrong; or the beginning of the name. What weakens is
 * not offered to somebody who typed half of it. */
static void consider(struct suggestion *s, const char *candidate, const char *name)
{
    size_t len = strlen(s->typed);
    unsigned d = distance(s->typed, candidate);
    if (len >= 3 && strncmp(candidate, s->typed, len) == 0 && strncmp(candidate, "insecure", 8) != 0)
        d = least(d, 1);
    if (d > 2 && d > strlen(candidate) / 3)
        return;
    if (d > 0 && d >= least((unsigned)len, (unsigned)strlen(candidate)))
        return;
    if (s->best == NULL || d < s->distance) {
        s->best = name;
        s->distance = d;
    }
}

void suggest_name(struct suggestion *s, const char *candidate)
{
    consider(s, candidate, candidate);
}

void suggest_option(struct suggestion *s, const struct option_part *parts)
{
    for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++) {
            size_t len = 0;
            const char *word;
            char other[NAME_MAX_LENGTH + 1];
            if (row->name == NULL)
                continue;
            suggest_name(s, row->name);
            for (size_t i = 0; (word = option_word(row->elsewhere, i, &len)) != NULL; i++)
                if (len < sizeof other) {
                    memcpy(other, word, len);
                    other[len] = '\0';
                    consider(s, other, row->name);
                }
        }
}
