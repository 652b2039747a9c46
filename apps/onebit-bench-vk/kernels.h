/* kernels: "onebit-bench-vk kernels", the time of single operations. */
#ifndef ONEBIT_BENCH_VK_KERNELS_H
#define ONEBIT_BENCH_VK_KERNELS_H

int bench_kernels(int argc, char **argv); /* argv[0] is "kernels"; returns the exit code */

#endif
