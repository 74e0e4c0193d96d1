public import CTwoLayerNet

@implementation @_cdecl("tln_version")
public func tln_version() -> UInt32 {
  UInt32(TLN_VERSION_MAJOR << 16 | TLN_VERSION_MINOR << 8 | TLN_VERSION_PATCH)
}
