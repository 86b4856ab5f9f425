/* Mistakes on purpose, one per word: the check that the sanitizers run here and that their reports are found.
 *
 *   planted leak | overflow | shift */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int last(const char *text, size_t bytes)
{
    return text[bytes];
}

int main(int argc, char **argv)
{
    const char *word = argc == 2 ? argv[1] : "";
    size_t bytes = strlen(word);
    char *copy = malloc(bytes ? bytes : 1);
    if (!copy || !bytes)
        return 2;
    memcpy(copy, word, bytes);
    if (!strcmp(word, "leak")) {
        printf("%c\n", copy[0]);
        copy = NULL;
    } else if (!strcmp(word, "overflow")) {
        printf("%d\n", last(copy, bytes));
    } else if (!strcmp(word, "shift")) {
        printf("%d\n", 1 << (bytes + 27));
    }
    free(copy);
    return 0;
}
