#ifndef OB_PUSH_EMBED_H
#define OB_PUSH_EMBED_H
#include "push.h"

struct obi_push_embed_gather {
    OB_U32 tokens, columns, row_words;
    OB_U32 first_row, row_count; /* of the block bound */
    OB_U32 vocabulary;           /* ids from here on give zeros; 0: this block leaves them alone */
};
struct obi_push_embed_scatter {
    OB_U32 tokens, columns;
    OB_U32 distinct;             /* ids */
    OB_U32 column_groups;        /* workgroups of an id */
    OB_U32 first_row, row_count; /* of the block bound */
};

#endif
