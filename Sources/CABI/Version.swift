// Versions, status names and the last error.

internal import CSystem
public import CTwoLayerNet

@implementation @_cdecl("tln_version")
public func tln_version() -> UInt32 {
  UInt32(TLN_VERSION_MAJOR << 16 | TLN_VERSION_MINOR << 8 | TLN_VERSION_PATCH)
}

@implementation @_cdecl("tln_version_string")
public func tln_version_string() -> UnsafePointer<CChar>? { cString("0.1.0") }

@implementation @_cdecl("tln_status_name")
public func tln_status_name(_ status: tln_status) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch Int(status) {
    case TLN_OK: "TLN_OK"
    case TLN_INVALID_ARGUMENT: "TLN_INVALID_ARGUMENT"
    case TLN_IO_ERROR: "TLN_IO_ERROR"
    case TLN_BAD_FILE: "TLN_BAD_FILE"
    case TLN_UNSUPPORTED: "TLN_UNSUPPORTED"
    case TLN_NO_DEVICE: "TLN_NO_DEVICE"
    case TLN_DEVICE_FAILED: "TLN_DEVICE_FAILED"
    case TLN_OUT_OF_MEMORY: "TLN_OUT_OF_MEMORY"
    case TLN_CANCELLED: "TLN_CANCELLED"
    case TLN_INTERNAL: "TLN_INTERNAL"
    default: "unknown status"
    }
  return cString(name)
}

@implementation @_cdecl("tln_last_error")
public func tln_last_error() -> UnsafePointer<CChar>? { tlns_last_message() }

/// A constant as C sees it.
func cString(_ text: StaticString) -> UnsafePointer<CChar> {
  UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}
