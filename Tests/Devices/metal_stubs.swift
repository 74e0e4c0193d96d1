// The declarations of Metal that MetalDriver.swift uses, by hand from Apple's documentation, so that it
// can be compiled where there is no Metal.

protocol MTLDevice: AnyObject {
  var name: String { get }
  func supportsFamily(_ family: MTLGPUFamily) -> Bool
  func makeCommandQueue() -> (any MTLCommandQueue)?
  func makeBuffer(length: Int, options: MTLResourceOptions) -> (any MTLBuffer)?
  func makeLibrary(source: String, options: MTLCompileOptions?) throws -> any MTLLibrary
  func makeComputePipelineState(function: any MTLFunction) throws -> any MTLComputePipelineState
}

enum MTLGPUFamily { case metal3 }

func MTLCopyAllDevices() -> [any MTLDevice] { [] }

final class MTLCompileOptions { var mathMode = MTLMathMode.fast }

enum MTLMathMode { case safe, relaxed, fast }

protocol MTLLibrary: AnyObject {
  func makeFunction(name functionName: String) -> (any MTLFunction)?
}

protocol MTLFunction: AnyObject {}

protocol MTLComputePipelineState: AnyObject {}

protocol MTLResource: AnyObject {}

protocol MTLBuffer: MTLResource {
  var length: Int { get }
  var gpuAddress: UInt64 { get }
  func contents() -> UnsafeMutableRawPointer
}

struct MTLResourceOptions: OptionSet {
  let rawValue: UInt
  static let storageModeShared = MTLResourceOptions([])
}

struct MTLResourceUsage: OptionSet {
  let rawValue: UInt
  static let read = MTLResourceUsage(rawValue: 1)
  static let write = MTLResourceUsage(rawValue: 2)
}

struct MTLBarrierScope: OptionSet {
  let rawValue: UInt
  static let buffers = MTLBarrierScope(rawValue: 1)
}

struct MTLSize {
  var width: Int
  var height: Int
  var depth: Int
}

protocol MTLCommandQueue: AnyObject {
  func makeCommandBuffer() -> (any MTLCommandBuffer)?
}

protocol MTLCommandBuffer: AnyObject {
  var error: (any Error)? { get }
  func makeComputeCommandEncoder() -> (any MTLComputeCommandEncoder)?
  func commit()
  func waitUntilCompleted()
}

protocol MTLComputeCommandEncoder: AnyObject {
  func setComputePipelineState(_ state: any MTLComputePipelineState)
  func setBytes(_ bytes: UnsafeRawPointer, length: Int, index: Int)
  func useResources(_ resources: [any MTLResource], usage: MTLResourceUsage)
  func dispatchThreadgroups(_ threadgroupsPerGrid: MTLSize, threadsPerThreadgroup: MTLSize)
  func memoryBarrier(scope: MTLBarrierScope)
  func endEncoding()
}
