/* print: devices, models and self-tests, for a person and as JSON, on stdout. */
#ifndef ONEBIT_INFO_PRINT_H
#define ONEBIT_INFO_PRINT_H

#include "common/json.h"
#include "onebit/onebit.h"

void print_device(const ob_device_info *info);
void print_device_json(app_json *json, const char *key, const ob_device_info *info);

/* The families of kernels for one-token products of signs, and which is chosen for what. In JSON two keys of the open object. */
void print_kernels(const ob_context *context);
void print_kernels_json(app_json *json, const ob_context *context);

void print_model(const char *path, const ob_model_info *info);
void print_model_json(app_json *json, const char *key, const char *path, const ob_model_info *info);

/* Program version and operating system: the head of a report. */
void print_system(void);
void print_system_json(app_json *json);

void print_selftest_heading(void);
void print_selftest_row(const ob_selftest_row *row);
void print_selftest_row_json(app_json *json, const ob_selftest_row *row);

#endif
