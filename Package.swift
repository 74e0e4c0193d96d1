// swift-tools-version: 6.2
// Three builds of one engine:
//   swift build                    the Swift module, the command line and the tests, in normal Swift
//   TLN_EMBEDDED=1 swift build     the C library, in Embedded Swift: no Swift runtime inside
//   TLN_FUZZ=1 swift build         the fuzz targets, an archive that Tests/Fuzz/fuzz.py links
// The Makefile calls them.

import PackageDescription

let embedded = Context.environment["TLN_EMBEDDED"] == "1"

// A section for each function, so that the linker leaves out what nothing calls. The same bytes from
// everywhere: no paths of this machine in debug information, and no hash of the compiler's arguments, which
// hold more of them.
let here = "\(Context.packageDirectory)=."
// No tables for unwinding either, 22 KB: nothing here throws, and what a callback throws must not pass
// through. Debuggers have the frame pointers, and .debug_frame before stripping.
let embeddedSettings: [SwiftSetting] =
  embedded
  ? [
    .enableExperimentalFeature("Embedded"),
    .unsafeFlags([
      "-wmo", "-Xfrontend", "-function-sections", "-file-prefix-map", here, "-Xfrontend",
      "-disable-incremental-llvm-codegen", "-Xcc", "-fno-unwind-tables", "-Xcc",
      "-fno-asynchronous-unwind-tables",
    ]),
  ] : []

// The time goes into the kernels; everything around them is built small. On Linux that is finished by the
// linker, which gets the compiler's intermediate code and sees all of it at once (39 KB).
let engineSettings =
  embeddedSettings
  + (embedded
    ? [
      .unsafeFlags(["-Osize"]),
      .unsafeFlags(
        ["-Xfrontend", "-emit-bc", "-Xfrontend", "-lto=llvm-full"],
        .when(platforms: [.linux], configuration: .release)),
    ] : [])

// The CPU kernels: one folder of sources, compiled once for each instruction set (the folders beside it
// are links to it). The linker takes the first copy of a symbol that several objects share, in the order
// of target names, so targets for higher instruction sets must sort after all others: hence "X86".
#if arch(x86_64)
  let instructionSets = [
    (target: "X86KernelsAVX2", define: "TLN_AVX2", march: "x86-64-v3"),
    (target: "X86KernelsAVX512", define: "TLN_AVX512", march: "x86-64-v4"),
  ]
#else
  let instructionSets: [(target: String, define: String, march: String)] = []
#endif

// The kernels' only arithmetic that could trap is on indices that the engine has checked.
let kernelSettings = embeddedSettings + [.unsafeFlags(["-Ounchecked"], .when(configuration: .release))]

// On x86-64 the baseline serves processors of before 2013, and is built small too.
#if arch(x86_64)
  let baselineSettings =
    embedded
    ? embeddedSettings + [.unsafeFlags(["-Osize", "-Xllvm", "-enable-machine-outliner=always"])]
    : kernelSettings
#else
  let baselineSettings = kernelSettings
#endif

let kernelTargets: [Target] =
  [
    .target(
      name: "Kernels", dependencies: ["CKernels"],
      swiftSettings: baselineSettings)
  ]
  + instructionSets.map { set in
    .target(
      name: set.target, dependencies: ["CKernels"],
      swiftSettings: kernelSettings + [
        .define(set.define),
        .unsafeFlags(["-Xcc", "-march=\(set.march)", "-Xllvm", "-unroll-runtime=false"]),
      ])
  }

// The few lines of C: a guard on every stack frame with an array, and calls of the C library that know
// the size of what they write to.
let hardenedC = ["-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Os", "-ffile-prefix-map=\(here)"]

// In the C library, the Swift runtime's allocations go through Sources/CSystem/reserve.c: the runtime
// would end the process when there is no memory left.
let reserveFlags =
  embedded ? ["posix_memalign", "free"].flatMap { ["-Xlinker", "--wrap=\($0)"] } : []

// The intermediate code: what repeats itself becomes a function, and of the functions only those are
// copied into their callers that get smaller by it. The result is kept for the static library.
let engineObject = Context.environment["TLN_ENGINE_OBJECT"]
let linkTimeFlags =
  (embedded ? ["-mllvm", "-enable-machine-outliner=always", "-mllvm", "-inline-threshold=0"] : [])
  + (engineObject.map { ["--lto-obj-path=\($0)"] } ?? [])

// Only tln_ symbols leave the library: a host that has a Swift runtime of its own must not meet ours.
let librarySettings: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-use-ld=lld", "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/CABI/exports.map",
      "-Xlinker", "-soname=libtwolayernet.so.0", "-Xlinker", "--gc-sections", "-Xlinker", "--icf=all",
      "-Xlinker", "-z",
      "-Xlinker", "relro", "-Xlinker", "-z", "-Xlinker", "now", "-Xlinker",
      "--build-id=\(Context.environment["TLN_BUILD_ID"] ?? "sha1")",
    ] + reserveFlags + linkTimeFlags.flatMap { ["-Xlinker", $0] }, .when(platforms: [.linux]))
]

let engineTargets: [Target] =
  [
    .systemLibrary(name: "CTwoLayerNet", path: "include"),
    .systemLibrary(name: "CKernels"),
    .target(
      name: "CGPUKernels", exclude: ["generate.py", "kernels.ptx.z"], publicHeadersPath: ".",
      cSettings: embedded ? [.unsafeFlags(hardenedC)] : []),
    .target(
      name: "CSystem",
      cSettings: embedded
        ? [.define("TLN_RESERVE", .when(platforms: [.linux])), .unsafeFlags(hardenedC)]
        : [],
      linkerSettings: [.linkedLibrary("z"), .linkedLibrary("m")]),
    .target(
      name: "TwoLayerNet",
      dependencies: ["CSystem", "CKernels", "CGPUKernels", "Kernels"]
        + instructionSets.map { Target.Dependency(stringLiteral: $0.target) },
      swiftSettings: engineSettings),
    .target(
      name: "CABI", dependencies: ["CTwoLayerNet", "CSystem", "TwoLayerNet"],
      exclude: ["exports.map"], swiftSettings: engineSettings, linkerSettings: librarySettings),
  ] + kernelTargets

let testSupport = Target.target(
  name: "TestSupport", dependencies: ["CSystem"], path: "Tests/TestSupport", exclude: ["Emulator"])

let package = Package(
  name: "twolayernet",
  platforms: [.macOS(.v15)],
  products: embedded
    ? [.library(name: "twolayernet", type: .dynamic, targets: ["CABI"])]
    : [
      .library(name: "TwoLayerNet", targets: ["TwoLayerNet"]),
      .executable(name: "twolayernet", targets: ["CommandLineTool"]),
    ],
  dependencies: embedded
    ? [] : [.package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")],
  targets: engineTargets
    + (embedded
      ? []
      : [
        .target(name: "CDigits", exclude: ["README.md", "generate.py"]),
        .executableTarget(
          name: "CommandLineTool",
          dependencies: [
            "TwoLayerNet", "CTwoLayerNet", "CSystem", "CDigits",
            .product(name: "ArgumentParser", package: "swift-argument-parser"),
          ], exclude: ["README.md", "manual.py"]),
        testSupport,
        // Optimised also in debug builds: tests train whole networks on it.
        .target(
          name: "GPUEmulator", path: "Tests/TestSupport/Emulator", exclude: ["kernels.inc"],
          cxxSettings: [.unsafeFlags(["-O2", "-ffp-contract=off"])]),
        .testTarget(
          name: "TwoLayerNetTests",
          dependencies: [
            "TwoLayerNet", "CSystem", "CDigits", "CGPUKernels", "TestSupport", "GPUEmulator",
          ]),
      ]),
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx17
)

// The fuzz targets, and the command line's picture formats as a module that they can see.
if Context.environment["TLN_FUZZ"] == "1" {
  package.products = [.library(name: "FuzzTargets", type: .static, targets: ["FuzzTargets"])]
  package.dependencies = []
  package.targets =
    engineTargets + [
      .target(
        name: "Images", dependencies: ["CSystem", "TwoLayerNet"], path: "Sources/CommandLineTool/Images",
        exclude: ["Digit.swift", "PNGWriter.swift"]),
      testSupport,
      .target(name: "FuzzMemory", path: "Tests/Fuzz/Memory"),
      .target(
        name: "FuzzTargets",
        dependencies: [
          "CABI", "CTwoLayerNet", "CSystem", "TwoLayerNet", "Images", "TestSupport", "FuzzMemory",
        ], path: "Tests/Fuzz/Targets"),
    ]
}
