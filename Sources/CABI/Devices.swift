// tln_device_...

public import CTwoLayerNet
internal import TwoLayerNet

@implementation @_cdecl("tln_device_name")
public func tln_device_name(_ device: tln_device) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch Int(device) {
    case TLN_DEVICE_AUTO: "auto"
    case TLN_DEVICE_CPU: "cpu"
    case TLN_DEVICE_CUDA: "cuda"
    case TLN_DEVICE_MPS: "mps"
    default: "unknown device"
    }
  return cString(name)
}

@implementation @_cdecl("tln_device_resolve")
public func tln_device_resolve(
  _ requested: tln_device, _ out: UnsafeMutablePointer<tln_device>?
) -> tln_status {
  boundary { () throws(Failure) in
    let place = try required(out, "out_device")
    place.pointee = try Device.resolve(request(requested)).rawValue
  }
}

@implementation @_cdecl("tln_device_describe")
public func tln_device_describe(
  _ device: tln_device, _ out: UnsafeMutablePointer<tln_device_info>?
) -> tln_status {
  boundary { () throws(Failure) in
    var known = try request(device)
    if known == nil { known = try Device.resolve(nil) }
    let info = known!.describe()
    var result = tln_device_info()
    result.device = info.device.rawValue
    result.available = info.isAvailable ? 1 : 0
    result.count = Int32(clamping: info.count)
    result.threads = Int32(clamping: info.threads)
    withUnsafeMutableBytes(of: &result.name) { copyText(info.name, into: $0) }
    withUnsafeMutableBytes(of: &result.instruction_set) { copyText(info.instructionSet, into: $0) }
    withUnsafeMutableBytes(of: &result.reason) { copyText(info.reason, into: $0) }
    try writeStruct(result, to: out, "out_info")
  }
}

/// What a tln_device asks for; nil is the automatic choice.
func request(_ device: tln_device) throws(Failure) -> Device? {
  if Int(device) == TLN_DEVICE_AUTO { return nil }
  guard let known = Device(rawValue: device) else {
    throw Failure(.invalidArgument, "\(device) is not a device")
  }
  return known
}
