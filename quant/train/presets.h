/* presets: sets of keys that belong together, under one name. */
#ifndef OBI_QUANT_TRAIN_PRESETS_H
#define OBI_QUANT_TRAIN_PRESETS_H

typedef enum obi_preset {
    OBI_PRESET_NONE,
    OBI_PRESET_OFFICIAL, /* the OneBit authors' code, which differs from their paper */
    OBI_PRESET_IMPROVED, /* what was measured to be better here */
    OBI_PRESET_LLMQAT    /* LLM-QAT's own program */
} obi_preset;

typedef struct obi_preset_value {
    const char *key, *value;
} obi_preset_value;

/* The keys that a preset sets; one with key NULL ends them. */
const obi_preset_value *obi_preset_values(obi_preset preset);

#endif
