# Linux on arm64 from another machine: Debian's cross compiler, libraries unpacked into a folder (scripts/sysroot.sh), and
# programs run by qemu, so that ctest needs nothing said. scripts/test-arm64.sh sets all of it up.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(ONEBIT_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../../build/cache/sysroot-arm64 CACHE PATH "Where the libraries of the other machine lie")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ONEBIT_SYSROOT)
get_filename_component(CMAKE_SYSROOT ${ONEBIT_SYSROOT} ABSOLUTE)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;${CMAKE_SYSROOT})
# The libraries may be newer than the compiler's own C library; what they need of a newer one is found when a program runs.
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,--allow-shlib-undefined)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
