/* maker: makes the linears of a model by one of the methods, for the converter. */
#ifndef OBI_QUANT_PTQ_MAKER_H
#define OBI_QUANT_PTQ_MAKER_H

#include "quant/convert.h"
#include "quant/ptq/options.h"

typedef struct obi_ptq_maker obi_ptq_maker;

/* options are complete and not of SVID. The calibrated methods need `device`, and `tokenizer`, whose ids the model knows, for their text;
 * both may be NULL otherwise. Everything is borrowed until obi_ptq_maker_destroy. One thread. */
obi_status obi_ptq_maker_create(obi_device *device, const obi_source *source, const obi_tokenizer *tokenizer,
                                const obi_ptq_options *options, obi_ptq_maker **out);
void obi_ptq_maker_destroy(obi_ptq_maker *maker); /* NULL is allowed */

/* For obi_convert_desc.maker; the maker's. */
const obi_linear_maker *obi_ptq_maker_linears(const obi_ptq_maker *maker);

#endif
