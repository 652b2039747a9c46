/* faults: how a test steers the layer VK_LAYER_onebit_faults, in its own process: it opens the layer's library with dlopen before
 * any instance is made, which gives the same copy that the loader gets, and asks for "onebit_faults".
 *
 * The layer counts the calls of each command that returns VkResult; by plan one of them fails, and does nothing, or it and every
 * later call that can fail in that way. It keeps account of what was made and destroyed. */
#ifndef OB_TESTS_LAYERS_FAULTS_H
#define OB_TESTS_LAYERS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include <vulkan/vulkan_core.h>

typedef struct faults_command {
    const char *name;
    const VkResult *errors; /* that it may return, by the registry; VK_TIMEOUT and VK_INCOMPLETE where it may return these */
    uint32_t error_count;
} faults_command;

typedef struct faults_control {
    const faults_command *commands;
    uint32_t command_count;
    /* From here on: call `call` (from 1) of the command fails with `error`; 0 plans nothing. Counts start anew. */
    void (*plan)(uint32_t command, uint32_t call, VkResult error, bool lasting);
    uint32_t (*calls)(uint32_t command); /* since plan */
    bool (*reached)(void);               /* the planned call was made and failed */
    /* Objects that live, and what was wrong since plan: a handle destroyed that was not alive, a fence reset or destroyed while its
     * work was not known to be done. "" if nothing; *live may be NULL. */
    const char *(*wrong)(uint32_t *live, const char **kind);
    void (*forget)(void); /* objects that are left over count no more */
    /* The hooks of commands that a layer does not see, vkEnumerateInstance..., given the loader's own; NULL for others. */
    PFN_vkVoidFunction (*global)(const char *name, PFN_vkVoidFunction own);
} faults_control;

typedef const faults_control *(*faults_function)(void);

#endif
