import Foundation

/// What alert files hold, for whoever looks at them from outside.
public enum AlertRecords {
    /// Records in an alert file, in those put aside, and in those of other processes beside it.
    ///
    /// `kind`: of this kind only, where given.
    ///
    /// `alerts.log` stands for `alerts.log`, `alerts.log.1`, `alerts.orchestrator-2.log` and so on. What is no record
    /// is passed over.
    ///
    /// - Throws: `AlertError` when a file is there and cannot be read.
    public static func read(kind: String? = nil, path: String) throws(AlertError) -> [(record: Alert, file: String)] {
        let url = URL(filePath: path)
        let folder = url.deletingLastPathComponent().path
        let stem = url.deletingPathExtension().lastPathComponent
        // No folder: no file, and so no record.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        var found: [(record: Alert, file: String)] = []
        for name in names.sorted() where name.hasPrefix(stem) {
            let file = URL(filePath: folder).appending(path: name).path
            let other = [".lock", ".cursor"].contains { name.hasSuffix($0) }
            if other || isFolder(file) { continue }
            guard let data = FileManager.default.contents(atPath: file) else {
                throw AlertError(.file, "cannot read \(file)")
            }
            for line in data.split(separator: UInt8(ascii: "\n")) {
                guard let record = try? JSONDecoder().decode(Alert.self, from: line) else { continue }
                if let kind, record.kind != kind { continue }
                found.append((record, file))
            }
        }
        return found
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
}
