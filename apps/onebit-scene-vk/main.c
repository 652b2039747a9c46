/* onebit-scene-vk: a renderer with a language model inside: how to put OneBit into a program that already draws with Vulkan.
 *
 *   gpu.c     the device, made with the features that the library would like        OneBit, 1 of 3
 *   story.c   the library on that device, loaded in a thread, stepped in each frame OneBit, 2 and 3 of 3
 *   the rest  any small renderer: canvas, pipeline, landscape, overlay, panel; window.c and headless.c are its two loops */
#include "common/model.h"
#include "common/stop.h"
#include "common/term.h"
#include "headless.h"
#include "window.h"

int main(int argc, char **argv)
{
    options o;
    int code = options_parse(&o, argc, argv);
    if (code != APP_GO_ON) return code;
    code = app_check_model_path(o.model);
    if (code != APP_GO_ON) return code;
    app_catch_signals();
    return app_end_stdout(o.headless > 0 ? headless_run(&o) : window_run(&o));
}
