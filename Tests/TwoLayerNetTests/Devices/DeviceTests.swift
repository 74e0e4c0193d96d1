// Devices: which there are, why not, and who chooses.

import Testing

@testable import TwoLayerNet

struct DeviceTests {
  @Test func theProcessorIsAlwaysThere() throws {
    let info = Device.cpu.describe()
    #expect(info.isAvailable && info.count == 1 && info.reason.isEmpty)
    #expect(info.threads >= 1)
    #expect(InstructionSet.allCases.contains { $0.name == info.instructionSet })
    #expect(try Device.resolve(.cpu) == .cpu)
  }

  private let shape = try! Shape(input: 2, hidden: 2, output: 2)

  @Test(arguments: Device.allCases)
  func anExplicitRequestIsMetOrRefusedWithTheReason(_ device: Device) throws {
    let info = device.describe()
    let isProven = Device.provenOnHardware.contains(device)
    #expect(info.reason.isEmpty == (info.isAvailable && isProven))
    if info.isAvailable {
      #expect(try Device.resolve(device) == device)
    } else {
      expectFailure(.noDevice, device.name, info.reason) { try Device.resolve(device) }
      expectFailure(.noDevice, info.reason) { try Network.make(shape, device: device) }
    }
  }

  @Test func anAutomaticChoiceTakesTheFirstThatIsThere() throws {
    let proven = [Device.cuda, .mps, .cpu].filter { Device.provenOnHardware.contains($0) }
    let available = proven.filter { $0.describe().isAvailable }
    #expect(try Device.resolve(nil) == available[0])
    #expect(try Network.make(shape).device == available[0])
  }

  /// Also if those that are passed over so far were not.
  @Test func anAutomaticChoiceGoesOnToTheNext() throws {
    func choose(_ index: Int) throws -> Device {
      try Device.makeEngine(nil, index: index, shape, threads: 1, among: Device.preference).device
    }
    #expect(try choose(0) == Device.preference.first { $0.describe().isAvailable })
    expectFailure(.noDevice, "device_index is 99") { try choose(99) }
  }

  @Test(arguments: Device.allCases)
  func whatIsNotAmongSeveralIsRefused(_ device: Device) {
    for index in [-1, 1 << 20] {
      expectFailure(.noDevice) { try Network.make(shape, device: device, deviceIndex: index) }
    }
    expectFailure(.noDevice, "cpu has only 0") {
      try Network.make(shape, device: .cpu, deviceIndex: 1)
    }
  }

  /// What the driver gets; that it is what was packed, Tests/Devices/test_kernels.py shows.
  @Test func thePTXIsUnpacked() throws {
    let text = try CUDAProgram.text()
    let ptx = String(cString: text.base)
    #expect(text.count == ptx.utf8.count + 1)
    #expect(ptx.hasPrefix(".version 7.0\n.target sm_50\n"))
    for kernel in GPUKernel.allCases { #expect(ptx.contains(".entry \(kernel.name)(")) }
  }
}
