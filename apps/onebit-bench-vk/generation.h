/* generation: "onebit-bench-vk decode" and "onebit-bench-vk prompt", tokens per second of a whole model. */
#ifndef ONEBIT_BENCH_VK_GENERATION_H
#define ONEBIT_BENCH_VK_GENERATION_H

int bench_decode(int argc, char **argv); /* argv[0] is "decode"; returns the exit code */
int bench_prompt(int argc, char **argv); /* argv[0] is "prompt" */

#endif
