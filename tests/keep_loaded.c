/* Preloaded into tests under AddressSanitizer: libraries stay loaded, so that a leak report can name them. */
int dlclose(void *handle);

__attribute__((visibility("default"))) int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
