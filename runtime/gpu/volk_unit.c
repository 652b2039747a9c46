/* The one translation unit that holds volk's definitions. */
#include <volk.c>
