import Foundation

/// What the command line says, line by line, as it happens, also into a pipe.
enum Console {
    static func say(_ line: String) { write(line + "\n", to: .standardOutput) }
    static func complain(_ line: String) { write(line + "\n", to: .standardError) }
    static func draw(_ text: String) { write(text, to: .standardOutput) }

    private static func write(_ text: String, to handle: FileHandle) {
        // A reader that has left is no reason to stop what is being taken down.
        try? handle.write(contentsOf: Data(text.utf8))
    }
}
