/* device_rates: how fast a device moves bytes and how fast it computes, measured: the two roofs under which kernels work. */
#ifndef OBI_ENGINE_DEVICE_RATES_H
#define OBI_ENGINE_DEVICE_RATES_H

#include "gpu/device.h"

typedef struct obi_device_rates {
    double bytes;      /* a second, read and written */
    double operations; /* a second, f32; a multiply-add is two */
} obi_device_rates;

/* The best of some rounds each. Needs up to 384 MiB of device memory for a moment, and makes do with less. */
obi_status obi_device_rates_measure(obi_device *device, obi_device_rates *out);

#endif
