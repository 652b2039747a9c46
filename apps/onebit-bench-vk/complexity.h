/* complexity: "onebit-bench-vk complexity", what it saves never to make the weight of a 1-bit layer. */
#ifndef ONEBIT_BENCH_VK_COMPLEXITY_H
#define ONEBIT_BENCH_VK_COMPLEXITY_H

int bench_complexity(int argc, char **argv); /* argv[0] is "complexity"; returns the exit code */

#endif
