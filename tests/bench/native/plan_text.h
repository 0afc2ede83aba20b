/* A valid plan of a given number of tokens of four characters, whose text says where it stands.
 *
 * Each token within a text is a marker: '~' and the token's own number in three digits to base 36. The first three
 * tokens of the summary say when the stream began: '@' and three digits each, together nine digits of microseconds
 * since the machine was started. So whoever sees any piece of the plan knows which tokens it has, when each was due
 * (begin + number / rate), and whether one is missing. Spaces before a text's opening quote put its first character at
 * the beginning of a token. */
#ifndef PLAN_TEXT_H
#define PLAN_TEXT_H

#include <stdint.h>

#define TOKEN_CHARS 4
#define STAMP_TOKENS 3
#define MOST_TOKENS 46656 /* 36^3 */

struct plan_text {
    char *text;      /* tokens * TOKEN_CHARS */
    int tokens;
    int marked;      /* tokens that are markers */
    int stamp_token; /* the first of the three that say when the stream began */
};

/* 0 when so few tokens cannot be a plan, or there are more than a marker can count. */
int plan_text_make(struct plan_text *plan, int tokens, int weeks);

/* A token's four characters, in the plan of a stream that began at `begin`. */
void plan_text_token(const struct plan_text *plan, int token, int64_t begin, char *out);

#endif
