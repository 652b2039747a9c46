#include "options.h"

#include <stdlib.h>

#include "common/term.h"

int options_parse(options *o, int argc, char **argv)
{
    *o = (options){ .model = "models/stories-onebit.gguf", .width = 960, .height = 540, .budget = 4000, .fps = -1, .block = 60,
                    .png_frame = -1, .seed = 1 };
    const app_option rows[] = {
        APP_ROW_HEADING("Text"),
        APP_ROW_TEXT('m', "model", "FILE", "GGUF model that has a tokenizer (default: models/stories-onebit.gguf)", &o->model),
        APP_ROW_TEXT('p', "prompt", "TEXT", "how every story begins (default: several in turn)", &o->prompt),
        APP_ROW_INTEGER('s', "seed", "N", "of the choice of words (default: 1)", &o->seed, 0, 4e15),
        APP_ROW_INTEGER('b', "budget", "US", "microseconds of the device for the model in a frame (default: 4000)", &o->budget, 50, 1e6),
        APP_ROW_HEADING("Picture"),
        APP_ROW_INTEGER(0, "width", "N", "pixels (default: 960)", &o->width, 64, 8192),
        APP_ROW_INTEGER(0, "height", "N", "pixels (default: 540)", &o->height, 64, 8192),
        APP_ROW_CHOICE(0, "smooth", "auto|off|on", "four samples for each pixel (auto: not on CPUs)", &o->smooth),
        APP_ROW_TEXT(0, "device", "NAME", "part of its name (default: the best that can draw)", &o->device),
        APP_ROW_HEADING("Without a window"),
        APP_ROW_INTEGER(0, "headless", "N", "draw N frames into memory, in turns without the model and with it", &o->headless, 2, 1e6),
        APP_ROW_INTEGER(0, "block", "N", "frames of a turn (default: 60)", &o->block, 1, 1e6),
        APP_ROW_INTEGER(0, "fps", "N", "frames in a second; 0: as many as there can be\n(default: 30 on CPUs, 60 elsewhere)",
                        &o->fps, 0, 1000),
        APP_ROW_TEXT(0, "png", "FILE", "write a frame as a picture", &o->png),
        APP_ROW_INTEGER(0, "png-frame", "N", "which one, from 0 (default: the last)", &o->png_frame, 0, 1e6),
        APP_ROW_TEXT(0, "csv", "FILE", "write the time of every frame", &o->csv),
        APP_ROW_TEXT(0, "plot", "FILE", "draw the times as SVG", &o->plot),
        APP_ROW_HEADING("Library"),
        APP_ROW_FLAG(0, "skip-selftest", "do not check the kernels on a device not seen before", &o->skip_selftest),
        APP_ROW_FLAG(0, "validation", "Vulkan's validation layer; its messages make the exit code 1", &o->validation),
        APP_OTHER_ROWS(o->common),
    };
    const app_program program = {
        .name = "onebit-scene-vk", .purpose = "Draws an animated scene and lets a 1-bit model tell a story on the same Vulkan device.",
        .usage = "[options]", .options = rows, .common = &o->common,
        .examples = "Keys: space: another story; up, down: budget; m: model on or off; esc: quit.\n\n"
                    "  onebit-scene-vk --budget 2000\n"
                    "  onebit-scene-vk --headless 600 --png scene.png --csv scene.csv --plot scene.svg\n" };
    int code = app_parse(&program, argc, argv, NULL);
    if (code != APP_GO_ON) return code;
    if (o->headless == 0 && (o->png || o->csv || o->plot || o->png_frame >= 0))
        return app_usage_error("--png, --csv and --plot need --headless N");
    if (o->png_frame >= 0 && !o->png) return app_usage_error("--png-frame needs --png FILE");
    if (o->headless > 0 && o->png_frame >= o->headless)
        return app_usage_error("there is no frame %lld of %lld", (long long)o->png_frame, (long long)o->headless);
    const char *wanted = getenv("ONEBIT_VALIDATION");
    o->validation |= wanted && wanted[0] == '1';
    return APP_GO_ON;
}
