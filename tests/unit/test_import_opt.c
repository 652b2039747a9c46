/* OPT as Hugging Face directories: tensors and tokenizer as they were written, and what we cannot run or trust is refused by name. */
#include "import_files.h"

#include "opt_model.h"
#include "core/alloc.h"
#include "quant/import/vocab_file.h"

static opt_golden golden;
static obi_source *source;

static int open_golden(void **state)
{
    if (scratch_open(state) != 0) return -1;
    opt_golden_open(&golden);
    return 0;
}

static int close_golden(void **state)
{
    opt_golden_close(&golden);
    return scratch_close(state);
}

static int remove_directory(void **state)
{
    (void)state;
    return scratch_remove_tree(scratch_path("opt"));
}

static const char *put(int form, const opt_flaw *flaw) { return opt_write("opt", &opt_forms[form], &golden, flaw); }

static void put_file(const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/opt/%s", scratch_directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* ---- what comes in -------------------------------------------------------------------------------------------------- */

static void expect_tensor(const char *name, uint64_t rows, uint64_t columns)
{
    const obi_source_tensor *tensor = obi_source_find(source, name);
    if (!tensor) fail_msg("%s was not imported", name);
    if (tensor->rows != rows || tensor->columns != columns)
        fail_msg("%s is (%llu, %llu)", name, (unsigned long long)tensor->rows, (unsigned long long)tensor->columns);
}

static void directories_are_read(void **state)
{
    (void)state;
    source = expect_opens(put(0, NULL), NULL);
    assert_string_equal(source->format, "huggingface");
    assert_int_equal(source->config.family, OBI_FAMILY_OPT);
    assert_true(source->config.tied && !source->config.norm_last && source->config.embedding_width == 0);
    assert_int_equal(source->tensor_count, 4 + OPT_LAYERS * 16); /* embedding, positions, last norm; two norms and six linears a layer */
    expect_tensor("position_embd.weight", OPT_CONTEXT + 2, 48);
    expect_tensor("output_norm.bias", 1, 48);
    expect_tensor("blk.1.attn_output.bias", 1, 48);
    expect_tensor("blk.1.ffn_up.weight", 80, 48);
    expect_tensor("blk.1.ffn_up.bias", 1, 80);
    assert_null(obi_source_find(source, "blk.0.ffn_gate.weight"));
    float row[80];
    assert_int_equal(obi_source_read(obi_source_find(source, "blk.0.attn_norm.weight"), 0, 1, row), OBI_OK);
    assert_true(row[3] > 0.7f && row[3] < 1.3f);
    obi_source_close(source);

    source = expect_opens(put(1, NULL), NULL);
    assert_true(source->config.norm_last && source->config.embedding_width == 20);
    assert_int_equal(source->tensor_count, 4 + OPT_LAYERS * 16);
    expect_tensor("token_embd.weight", OPT_VOCABULARY, 20);
    expect_tensor("project_in.weight", 32, 20);
    expect_tensor("project_out.weight", 20, 32);
    assert_null(obi_source_find(source, "output_norm.weight"));
    obi_source_close(source);

    obi_source_close(expect_opens(put(0, &(opt_flaw){ .base = "decoder." }), NULL)); /* as first published */
    obi_source_close(expect_opens(put(1, &(opt_flaw){ .config = ",\"_remove_final_layer_norm\":true" }), NULL));
    source = expect_opens(put(0, &(opt_flaw){ .config = ",\"architectures\":null,\"word_embed_proj_dim\":null" }), NULL);
    assert_int_equal(source->config.embedding_width, 0);
    obi_source_close(source);
}

/* Each line of texts.txt has the ids of the same line of ids.txt. */
static void expect_ids(obi_vocab *vocab)
{
    obi_tokenizer *tokenizer;
    if (obi_tokenizer_create(&tokenizer, vocab) != OBI_OK) fail_msg("%s", obi_last_error());
    FILE *texts = fopen(OPT_DIRECTORY "/texts.txt", "r"), *numbers = fopen(OPT_DIRECTORY "/ids.txt", "r");
    assert_true(texts && numbers);
    char text[256], line[512];
    int lines = 0;
    for (; fgets(text, sizeof text, texts) && fgets(line, sizeof line, numbers); lines++) {
        uint32_t *ids;
        size_t count, at = 0;
        text[strcspn(text, "\n")] = 0;
        assert_int_equal(obi_tokenizer_encode(tokenizer, text, strlen(text), OBI_ENCODE_BOS | OBI_ENCODE_SPECIAL, &ids, &count), OBI_OK);
        for (char *number = strtok(line, " \n"); number; number = strtok(NULL, " \n"), at++)
            if (at >= count || ids[at] != strtoul(number, NULL, 10)) fail_msg("\"%s\": id %zu is not %s", text, at, number);
        assert_int_equal(at, count);
        obi_free(ids);
    }
    assert_int_equal(lines, 8);
    fclose(texts);
    fclose(numbers);
    obi_tokenizer_free(tokenizer);
}

static void the_tokenizer_has_opts_ids(void **state)
{
    (void)state;
    source = expect_opens(put(0, NULL), NULL);
    const obi_vocab *vocab = &source->vocab;
    assert_int_equal(vocab->count, 300);
    assert_true(vocab->bos == 2 && vocab->eos == 2 && vocab->pad == 1 && vocab->unk == 3 && vocab->add_bos);
    expect_ids(&source->vocab);
    obi_source_close(source);

    /* OPT's own tokenizer_config.json says the same, names its tokens, and can leave the first one out. */
    put_file("tokenizer_config.json", "{\"unk_token\":{\"content\":\"</s>\"},\"bos_token\":{\"content\":\"</s>\"},\"eos_token\":\"</s>\","
                                      "\"pad_token\":\"<pad>\",\"add_bos_token\":false,\"tokenizer_class\":\"GPT2Tokenizer\"}");
    source = expect_opens(scratch_path("opt"), NULL);
    assert_true(source->vocab.bos == 2 && source->vocab.pad == 1 && !source->vocab.add_bos);
    obi_source_close(source);
    put_file("tokenizer_config.json", "{\"bos_token\":\"</s>\",\"eos_token\":\"</s>\",\"pad_token\":\"<pad>\",\"add_bos_token\":true}");
    source = expect_opens(scratch_path("opt"), NULL);
    expect_ids(&source->vocab);
    obi_source_close(source);
}

/* The same vocabulary as tokenizer.json, which does not say that a token goes in front. */
static void the_newer_form_of_the_tokenizer(void **state)
{
    (void)state;
    put(0, NULL);
    uint8_t *vocab, *merges;
    size_t room = slurp(OPT_DIRECTORY "/vocab.json", &vocab);
    vocab[room] = 0;
    room = slurp(OPT_DIRECTORY "/merges.txt", &merges);
    merges[room] = 0;
    FILE *out = fopen(scratch_path("opt/tokenizer.json"), "wb");
    assert_non_null(out);
    fprintf(out, "{\"added_tokens\":[{\"id\":1,\"content\":\"<pad>\",\"special\":true},{\"id\":2,\"content\":\"</s>\",\"special\":true}],"
                 "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
                 "\"post_processor\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":%s,\"merges\":[", (char *)vocab);
    char *save, *line = strtok_r((char *)merges, "\n", &save);
    for (int i = 0; (line = strtok_r(NULL, "\n", &save)); i++) {
        fputs(i ? ",\"" : "\"", out);
        for (; *line; line++) fprintf(out, *line == '"' || *line == '\\' ? "\\%c" : "%c", *line);
        fputc('"', out);
    }
    fprintf(out, "]}}");
    assert_int_equal(fclose(out), 0);
    free(vocab);
    free(merges);
    source = expect_opens(scratch_path("opt"), NULL);
    assert_true(source->vocab.bos == 2 && source->vocab.add_bos);
    expect_ids(&source->vocab);
    obi_source_close(source);
}

static void put_escaped(FILE *out, const obi_gguf_string *text)
{
    for (uint64_t i = 0; i < text->length; i++) {
        if (text->text[i] == '"' || text->text[i] == '\\') fputc('\\', out);
        fputc(text->text[i], out);
    }
}

/* GPT-2's whole vocabulary as its two files: what comes back is what test_tokenizer holds to golden ids. */
static void the_published_vocabulary_in_two_files(void **state)
{
    (void)state;
    obi_gguf gguf;
    obi_vocab was, is;
    char path[1024];
    put(0, NULL);
    assert_int_equal(obi_gguf_open(&gguf, test_data_path("tokenizers/gguf/ggml-vocab-gpt-2.gguf")), OBI_OK);
    assert_int_equal(obi_vocab_from_gguf(&was, &gguf), OBI_OK);
    obi_gguf_close(&gguf);
    snprintf(path, sizeof path, "%s/opt/merges.txt", scratch_directory);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs("#version: 0.2\n", out);
    for (uint32_t i = 0; i < was.merge_count; i++) fprintf(out, "%.*s\n", (int)was.merges[i].length, was.merges[i].text);
    assert_int_equal(fclose(out), 0);
    snprintf(path, sizeof path, "%s/opt/vocab.json", scratch_directory);
    out = fopen(path, "w");
    assert_non_null(out);
    for (uint32_t id = was.count; id-- > 0;) { /* in any order */
        fputs(id + 1 == was.count ? "{\"" : ", \"", out);
        put_escaped(out, &was.tokens[id]);
        fprintf(out, "\": %u", id);
    }
    fputs("}", out);
    assert_int_equal(fclose(out), 0);
    if (obi_vocab_file_read(&is, path, 50272) != OBI_OK) fail_msg("%s", obi_last_error());
    assert_true(was.count == is.count && was.merge_count == is.merge_count && is.count == 50257);
    assert_string_equal(is.pre, was.pre);
    for (uint32_t i = 0; i < was.count + was.merge_count; i++) {
        const obi_gguf_string *a = i < was.count ? &was.tokens[i] : &was.merges[i - was.count];
        const obi_gguf_string *b = i < was.count ? &is.tokens[i] : &is.merges[i - was.count];
        if (a->length != b->length || memcmp(a->text, b->text, a->length) != 0) fail_msg("%u is \"%.*s\"", i, (int)b->length, b->text);
    }
    obi_vocab_free(&was);
    obi_vocab_free(&is);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static void flaws_are_named(void **state)
{
    (void)state;
    static const struct { int form; opt_flaw flaw; const char *words; } cases[] = {
        { 0, { .config = ",\"activation_function\":\"gelu\"" }, "\"activation_function\" is \"gelu\"" },
        { 0, { .config = ",\"enable_bias\":false" }, "\"enable_bias\" is false" },
        { 0, { .config = ",\"layer_norm_elementwise_affine\":false" }, "layer_norm_elementwise_affine" },
        { 0, { .config = ",\"_remove_final_layer_norm\":true" }, "_remove_final_layer_norm" },
        { 0, { .config = ",\"_remove_final_layer_norm\":1" }, "true or false" },
        { 0, { .config = ",\"word_embed_proj_dim\":0" }, "word_embed_proj_dim" },
        { 0, { .config = ",\"word_embed_proj_dim\":40" }, "embed_tokens.weight has shape (304, 48) where config.json asks for (304, 40)" },
        { 0, { .config = ",\"num_attention_heads\":5" }, "cannot be split into 5 heads" },
        { 0, { .config = ",\"num_attention_heads\":0" }, "cannot be split into 0 heads" },
        { 0, { .config = ",\"num_attention_heads\":16" }, "odd" },
        { 0, { .config = ",\"max_position_embeddings\":25" }, "embed_positions.weight has shape (26, 48) where config.json asks for (27" },
        { 0, { .config = ",\"max_position_embeddings\":16777217" }, "context" },
        { 0, { .config = ",\"do_layer_norm_before\":false" }, "has no place in an OPT model of 2 layers whose norms come last" },
        { 0, { .config = ",\"num_hidden_layers\":3" }, "layers.2.self_attn_layer_norm.weight is missing" },
        { 0, { .config = ",\"num_hidden_layers\":1" }, "no place in an OPT model of 1 layers" },
        { 0, { .config = ",\"tie_word_embeddings\":false" }, "lm_head.weight is missing" },
        { 0, { .config = ",\"quantization_config\":{\"quant_method\":\"gptq\"}" }, "already quantised by \"gptq\"" },
        { 0, { .leave_out = "layers.1.fc1.bias" }, "model.decoder.layers.1.fc1.bias is missing" },
        { 0, { .leave_out = "layers.0.self_attn.k_proj.bias" }, "k_proj.bias is missing" },
        { 0, { .leave_out = "decoder.final_layer_norm.bias" }, "model.decoder.final_layer_norm.bias is missing" },
        { 0, { .leave_out = "embed_positions.weight" }, "embed_positions.weight is missing" },
        { 0, { .reshape = "layers.0.fc2.weight", .rows = 1 }, "fc2.weight has shape (49, 80) where config.json asks for (48, 80)" },
        { 0, { .reshape = "layers.1.fc1.bias", .rows = -1 }, "fc1.bias has shape (79) where config.json asks for (80)" },
        { 0, { .reshape = "embed_positions.weight", .rows = -2 }, "embed_positions.weight has shape (24, 48)" },
        { 1, { .leave_out = "project_out.weight" }, "project_out.weight is missing" },
        { 1, { .reshape = "project_in.weight", .rows = 1 }, "project_in.weight has shape (33, 20) where config.json asks for (32, 20)" },
        { 0, { .extra = "project_in.weight" }, "project_in.weight has no place" },
        { 0, { .extra = "layers.0.self_attn.q_norm.weight" }, "q_norm.weight has no place" },
        { 1, { .config = ",\"do_layer_norm_before\":true" }, "model.decoder.final_layer_norm.weight is missing" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refused(put(cases[i].form, &cases[i].flaw), NULL, OBI_ERROR_DATA, cases[i].words);
        remove_directory(NULL);
    }
}

static void broken_vocabularies_are_refused(void **state)
{
    (void)state;
    static const struct { const char *vocab, *merges, *words; } cases[] = {
        { "{\"a\":0,\"b\":2}", "", "no token has the id 1" },
        { "{\"a\":0,\"b\":0}", "", "stands for two tokens" },
        { "{\"a\":0,\"a\":1}", "", "duplicate" },
        { "{\"a\":0,\"b\":\"1\"}", "", "vocab.json" },
        { "{\"a\":0,\"b\":-1}", "", "vocab.json" },
        { "{\"a\":0,\"b\":304}", "", "the model only 304 tokens" },
        { "{\"a\":0,\"b\":18446744073709551616}", "", "vocab.json" },
        { "{\"a\":0", "", "not valid JSON" },
        { "{\"a\":0,\"b\":1,\"ab\":2}", "#version: 0.2\na b\nab\n", "line 3 of merges.txt" },
        { "{\"a\":0,\"b\":1,\"ab\":2}", "a  b\n", "line 1 of merges.txt" },
        { "{\"a\":0,\"b\":1,\"ab\":2}", " b\n", "line 1 of merges.txt" },
        { "{\"a\":0,\"b\":1,\"ab\":2}", NULL, "needs merges.txt beside it" },
    };
    put(0, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_file("vocab.json", cases[i].vocab);
        if (cases[i].merges) {
            put_file("merges.txt", cases[i].merges);
        } else {
            char path[1024];
            snprintf(path, sizeof path, "%s/opt/merges.txt", scratch_directory);
            unlink(path);
        }
        expect_refused(scratch_path("opt"), NULL, OBI_ERROR_DATA, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(directories_are_read, remove_directory),
        cmocka_unit_test_teardown(the_tokenizer_has_opts_ids, remove_directory),
        cmocka_unit_test_teardown(the_newer_form_of_the_tokenizer, remove_directory),
        cmocka_unit_test_teardown(the_published_vocabulary_in_two_files, remove_directory),
        cmocka_unit_test_teardown(flaws_are_named, remove_directory),
        cmocka_unit_test_teardown(broken_vocabularies_are_refused, remove_directory),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
