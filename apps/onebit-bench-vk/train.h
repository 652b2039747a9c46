/* train: "onebit-bench-vk train", the time of a training step. */
#ifndef ONEBIT_BENCH_VK_TRAIN_H
#define ONEBIT_BENCH_VK_TRAIN_H

int bench_train(int argc, char **argv); /* argv[0] is "train"; returns the exit code */

#endif
