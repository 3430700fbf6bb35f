# A toolchain for CMake: zig's C compiler, from .venv-cross (see requirements-cross.txt),
# for the target named by SMW_TARGET, such as aarch64-linux-musl or x86_64-macos.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SMW_TARGET)
set(zig "${CMAKE_CURRENT_LIST_DIR}/../../.venv-cross/bin/python;-m;ziglang")
set(CMAKE_C_COMPILER "${zig};cc;-target;${SMW_TARGET}")

string(REGEX MATCH "^[^-]*" CMAKE_SYSTEM_PROCESSOR "${SMW_TARGET}")
if(SMW_TARGET MATCHES "macos")
  set(CMAKE_SYSTEM_NAME Darwin)
else()
  set(CMAKE_SYSTEM_NAME Linux)
  set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-${CMAKE_SYSTEM_PROCESSOR}")
endif()

# The machine's own ar knows the machine's own objects alone.
list(JOIN zig " " zig)
set(CMAKE_C_ARCHIVE_CREATE "${zig} ar qc <TARGET> <OBJECTS>")
set(CMAKE_C_ARCHIVE_APPEND "${zig} ar q <TARGET> <OBJECTS>")
set(CMAKE_C_ARCHIVE_FINISH "${zig} ranlib <TARGET>")
