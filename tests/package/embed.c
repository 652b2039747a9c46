/* embed: what a first program does. Takes a model and a prompt, prints the ids of the prompt and of 8 greedy tokens. */
#include <onebit/onebit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY(call)                                                                  \
    do {                                                                           \
        ob_status try_status = (call);                                             \
        if (try_status != OB_OK) {                                                 \
            fprintf(stderr, "%s: %s\n", #call, ob_last_error());                   \
            return ob_exit_code(try_status);                                       \
        }                                                                          \
    } while (0)

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    ob_context *context;
    ob_model *model;
    ob_session *session;
    uint32_t ids[64];
    size_t count;

    TRY(ob_context_create(&context, &(ob_context_desc){ 0 }));
    TRY(ob_model_load(&model, context, &(ob_model_desc){ .path = argv[1] }));
    TRY(ob_session_create(&session, model, &(ob_session_desc){ 0 }));
    TRY(ob_model_tokenize(model, argv[2], strlen(argv[2]), OB_TOKENIZE_BOS, ids, 32, &count));
    if (count > 32) return 2;
    TRY(ob_session_feed(session, ids, count));
    for (int i = 0; i < 8; i++) {
        TRY(ob_session_sample(session, &ids[count]));
        TRY(ob_session_feed(session, &ids[count], 1));
        count++;
    }
    for (size_t i = 0; i < count; i++) printf("%s%u", i ? " " : "", (unsigned)ids[i]);
    printf("\n");
    ob_session_destroy(session);
    ob_model_destroy(model);
    ob_context_destroy(context);
    return 0;
}
