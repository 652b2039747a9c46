/* rope_layout: which elements of a head rotary positions turn together; a fact of the model that kernels need too. */
#ifndef OBI_CORE_ROPE_LAYOUT_H
#define OBI_CORE_ROPE_LAYOUT_H

typedef enum obi_rope_layout {
    OBI_ROPE_HALF = 0, /* (i, i + R/2): Hugging Face order */
    OBI_ROPE_PAIRS = 1 /* (2i, 2i + 1): Meta's order, llama2.c, GGUF architecture "llama" */
} obi_rope_layout;

#endif
