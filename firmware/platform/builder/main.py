"""How every environment of platformio.ini is built: for the host without a board, else with Arm's GCC."""

import os
import shutil
import sys
from pathlib import Path

from SCons.Script import Default, DefaultEnvironment

# By an environment's custom_rtneural. NDEBUG: no assertions in Eigen.
RTNEURAL_BACK_ENDS = {
    "stl": [("RTNEURAL_USE_STL", 1)],
    "eigen": [("RTNEURAL_USE_EIGEN", 1), "NDEBUG"],
    "eigen-fast": [("RTNEURAL_USE_EIGEN", 1), "NDEBUG", "ODDITY_FAST_MATHS"],
}

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
if board is not None and not board.get("build.rtneural"):
    pass  # its networks of all sizes would fill the chip's flash
elif (rtneural_dir / "RTNeural" / "RTNeural.h").is_file():
    back_end = env.GetProjectOption("custom_rtneural", "stl")
    env.Append(
        CPPDEFINES=["ODDITY_RTNEURAL", ("RTNEURAL_DEFAULT_ALIGNMENT", 16), *RTNEURAL_BACK_ENDS[back_end]],
        CCFLAGS=["-isystem", str(rtneural_dir)],  # its warnings are not ours
    )
    if back_end != "stl":
        env.Append(CCFLAGS=["-isystem", str(rtneural_dir / "modules" / "Eigen")])
elif not env.IsIntegrationDump():
    print("RTNeural is not here (git submodule update --init fetches it): building the fixed engine alone")

model_header = os.environ.get("PEDAL_MODEL_HEADER")
if model_header:  # for one file, so that another model does not build everything anew
    macro = ("PEDAL_MODEL_HEADER", env.StringifyMacro(str(Path(model_header).resolve())))
    env.AddBuildMiddleware(
        lambda env, source: env.Object(source, CPPDEFINES=[*env["CPPDEFINES"], macro]), "*/built_in_model.cc"
    )

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
    env.Depends(elf, env.Glob(str(script.parent / "*.ld")))
    image = env.Command(
        "$BUILD_DIR/firmware.bin", elf, env.VerboseAction("$OBJCOPY -O binary $SOURCE $TARGET", "Building $TARGET")
    )
    env.Replace(UPLOADCMD=board.get("upload.command"))
    env.AddPlatformTarget("upload", image, [env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE")], "Upload")
    Default([elf, image])
