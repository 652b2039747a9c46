/* cases: the list of all cases. A family adds its lines here and defines `const obi_case obi_case_<name>` in
 * case_<family>.c. The order is the order of the self-test's report. */
#ifndef OBI_SELFTEST_CASES_H
#define OBI_SELFTEST_CASES_H

#include "selftest/selftest.h"

#define OBI_CASES(X)

#define OBI_CASE_DECLARE(name) extern const obi_case obi_case_##name;
OBI_CASES(OBI_CASE_DECLARE)

#endif
