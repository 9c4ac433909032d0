"""How every environment of platformio.ini is built: for the host without a board, else with Arm's GCC."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from SCons.Script import Default, DefaultEnvironment

# By an environment's custom_rtneural. NDEBUG: no assertions in Eigen.
RTNEURAL_BACK_ENDS = {
    "stl": [("RTNEURAL_USE_STL", 1)],
    "eigen": [("RTNEURAL_USE_EIGEN", 1), "NDEBUG"],
    "eigen-fast": [("RTNEURAL_USE_EIGEN", 1), "NDEBUG", "ODDITY_FAST_MATHS"],
}

# What never runs in the audio interrupt, and has no inline function that does, is compiled small on a chip.
SELDOM_RUN = ["pedal/model_slots", "pedal/frame", "engine/model_blob"]
SELDOM_RUN += ["usb/device", "usb/descriptors", "usb/serial"]
SELDOM_RUN += [
    f"boards/daisy/{name}" for name in ("adc", "clocks", "codec", "flash", "i2c", "memory", "reset", "serial", "usb")
]


def print_account(target, source, env):
    """Each section of the image and the memory that it fills; what starts with values fills the ROM as well."""
    pattern = r"^\s*(\w+) \(\w+\) *: ORIGIN = (0x\w+), LENGTH = (\d+)([KM])"
    memories = [
        (name, int(origin, 16), int(length) * {"K": 1 << 10, "M": 1 << 20}[unit])
        for name, origin, length, unit in re.findall(pattern, script.read_text(), re.M)
    ]
    headers = subprocess.run([f"{tool}objdump", "-h", "-w", str(target[0])], capture_output=True, text=True, check=True)
    for line in headers.stdout.splitlines():
        fields = line.split()
        if not re.search(r"\bALLOC\b", line) or int(fields[2], 16) == 0:
            continue
        name, size, at = fields[1], int(fields[2], 16), int(fields[3], 16)
        memory = next(name for name, origin, length in memories if origin <= at < origin + length)
        copied = ", copied there from ROM" if re.search(r"\bLOAD\b", line) and memory not in ("ROM",) else ""
        print(f"{name:<14} {size:>9,} B  {memory}{copied}")


env = DefaultEnvironment()
platform_dir = Path(env.PioPlatform().get_dir())
firmware_dir = Path(env.subst("$PROJECT_DIR"), "firmware")
board = env.BoardConfig() if "BOARD" in env else None

env.Append(
    CPPPATH=[str(firmware_dir)],
    CCFLAGS=["-O3", "-g", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections"],
    CXXFLAGS=["-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"],
)

rtneural_dir = firmware_dir / "lib" / "RTNeural"
back_end = env.GetProjectOption("custom_rtneural", "stl")
if back_end == "none" or (board is not None and not board.get("build.rtneural")):
    pass  # its networks of all sizes would fill the chip's flash
elif (rtneural_dir / "RTNeural" / "RTNeural.h").is_file():
    env.Append(
        CPPDEFINES=["ODDITY_RTNEURAL", ("RTNEURAL_DEFAULT_ALIGNMENT", 16), *RTNEURAL_BACK_ENDS[back_end]],
        CCFLAGS=["-isystem", str(rtneural_dir)],  # its warnings are not ours
    )
    if back_end != "stl":
        env.Append(CCFLAGS=["-isystem", str(rtneural_dir / "modules" / "Eigen")])
elif not env.IsIntegrationDump():
    print("RTNeural is not here (git submodule update --init fetches it): building the fixed engine alone")

model_headers = [Path(path).resolve() for path in os.environ.get("PEDAL_MODEL_HEADER", "").split(os.pathsep) if path]
if model_headers:  # for one file, so that another model does not build everything anew
    names = [re.search(r"^namespace (oddity::models::\w+) {", path.read_text(), re.M) for path in model_headers]
    lines = [f'#include "{path}"' for path in model_headers]
    lines += ["namespace oddity {", "constexpr const ModelView* kBuiltInModels[] = {"]
    lines += [f"    &{name[1] if name else 'has_no_model'}::kModel," for name in names] + ["};", "}", ""]
    table = Path(env.subst("$BUILD_DIR"), "built_in_models.h")
    table.parent.mkdir(parents=True, exist_ok=True)
    if not table.is_file() or table.read_text() != "\n".join(lines):
        table.write_text("\n".join(lines))
    macro = ("PEDAL_BUILT_IN_MODELS", env.StringifyMacro(str(table)))
    env.AddBuildMiddleware(
        lambda env, source: env.Object(source, CPPDEFINES=[*env["CPPDEFINES"], macro]), "*/built_in_model.cc"
    )

sanitizers = env.GetProjectOption("custom_sanitizers", "")
if sanitizers:
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    env.Append(CCFLAGS=flags, LINKFLAGS=flags)
if compiler := env.GetProjectOption("custom_compiler", ""):
    env.Replace(CC=compiler, CXX=f"{compiler}++", LINK=f"{compiler}++")
if wrapping := env.GetProjectOption("custom_wrapping", ""):
    env.AddBuildMiddleware(
        lambda env, source: env.Object(source, CCFLAGS=[*env["CCFLAGS"], "-fwrapv"]), f"*/{wrapping}/*.cc"
    )

if board is not None:
    for name in SELDOM_RUN:
        env.AddBuildMiddleware(lambda env, source: env.Object(source, CCFLAGS=[*env["CCFLAGS"], "-Os"]), f"*/{name}.cc")

if board is None:
    env.Append(LINKFLAGS=["-Wl,--gc-sections"])
    Default(env.BuildProgram())
else:
    if not shutil.which("arm-none-eabi-g++"):
        sys.exit("arm-none-eabi-g++ is missing: install gcc-arm-none-eabi and libstdc++-arm-none-eabi-newlib")
    tool = "arm-none-eabi-"
    cpu = board.get("build.cpu_flags").split()
    script = platform_dir / "ldscripts" / board.get("build.ldscript")
    env.Replace(
        AR=tool + "gcc-ar",
        AS=tool + "gcc",
        CC=tool + "gcc",
        CXX=tool + "g++",
        LINK=tool + "g++",
        RANLIB=tool + "gcc-ranlib",
        OBJCOPY=tool + "objcopy",
        SIZETOOL=tool + "size",
        SIZEPROGREGEXP=r"^(?:\.vectors|\.itcm|\.dtcm_data|\.text|\.data|\.ARM\.exidx)\s+(\d+).*",
        SIZEDATAREGEXP=r"^(?:\.data|\.bss)\s+(\d+).*",
        SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
        SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
        PROGNAME="firmware",
        PROGSUFFIX=".elf",
        LDSCRIPT_PATH=str(script),
    )
    env.Append(
        CCFLAGS=cpu,
        ASFLAGS=[*cpu, "-x", "assembler-with-cpp"],
        LINKFLAGS=[*cpu, "-nostartfiles", "-Wl,--gc-sections", *board.get("build.link_flags").split()],
        LIBPATH=[str(script.parent)],
    )
    elf = env.BuildProgram()
    env.AddPostAction(elf, env.VerboseAction(print_account, "Sections of $TARGET"))
    env.Depends(elf, env.Glob(str(script.parent / "*.ld")))
    image = env.Command(
        "$BUILD_DIR/firmware.bin", elf, env.VerboseAction("$OBJCOPY -O binary $SOURCE $TARGET", "Building $TARGET")
    )
    env.Replace(UPLOADCMD=board.get("upload.command"))
    env.AddPlatformTarget("upload", image, [env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE")], "Upload")
    Default([elf, image])
