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

  @Test(arguments: Device.allCases)
  func anExplicitRequestIsMetOrRefusedWithTheReason(_ device: Device) throws {
    let info = device.describe()
    #expect(info.isAvailable == info.reason.isEmpty)
    if info.isAvailable {
      #expect(try Device.resolve(device) == device)
    } else {
      expectFailure(.noDevice, device.name, info.reason) { try Device.resolve(device) }
      let shape = try Shape(input: 2, hidden: 2, output: 2)
      expectFailure(.noDevice, info.reason) { try Network.make(shape, device: device) }
    }
  }

  @Test func anAutomaticChoiceTakesTheFirstThatIsThere() throws {
    let available = [Device.cuda, .mps, .cpu].filter { $0.describe().isAvailable }
    #expect(try Device.resolve(nil) == available[0])
  }
}
