/* prompt: the texts that lm-evaluation-harness 0.3 makes of an item: string operations as Python's, on UTF-8. */
#ifndef ONEBIT_EVAL_PROMPT_H
#define ONEBIT_EVAL_PROMPT_H

#include <stddef.h>

/* Each gives a new string, to be freed with free(); NULL when there is no memory. */

/* The strings one after the other; the last argument is NULL. */
char *prompt_join(const char *first, ...) __attribute__((sentinel));
/* str.strip(): without the white space at both ends, Unicode's included. */
char *prompt_strip(const char *text);
/* str.capitalize(): the first character as in a title, the others small. One character for one: "ß" stays as it is. */
char *prompt_capitalize(const char *text);
/* HellaSwag's texts come from WikiHow with marks: stripped, " [title]" is ". ", anything else in brackets goes (as far as the line has
 * both), and then two spaces are one, from left to right. */
char *prompt_hellaswag(const char *text);

/* len(str): characters, not bytes. */
size_t prompt_characters(const char *text);

#endif
