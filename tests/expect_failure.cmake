# Runs PROGRAM ARGUMENTS, which must exit with 1 (a crash is not a failure that a test reported) and say WORDS.
execute_process(COMMAND ${PROGRAM} ${ARGUMENTS} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
string(FIND "${output}" "${WORDS}" at)
if(NOT result EQUAL 1 OR at LESS 0)
  message(FATAL_ERROR "the planted fault went unnoticed: exit code ${result} (expected 1), expected to read \"${WORDS}\" in:\n${output}")
endif()
