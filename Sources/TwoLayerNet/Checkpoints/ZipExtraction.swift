// Taking a file out of a zip archive. Only the command line does, with datasets that are published in
// one; the embedded library goes without.

#if !hasFeature(Embedded)

  extension File {
    /// The contents of one file in this zip archive, compared with its checksum.
    package borrowing func contents(ofZipEntry name: String) throws(Failure) -> [UInt8] {
      guard let entry = try ZipArchive(self).find(name) else {
        throw .badFile("\(path) has no entry \(name)")
      }
      let bytes = try bytes(of: entry.storage)
      return Array(bytes.readOnly)
    }
  }

#endif
