import ContainerRuntime
import JSONText
import LinuxSystem
import OCISpec

enum SpecFile {
    /// Writes config.json, which must not exist.
    static func write(_ spec: RuntimeSpec, folder: String) throws(RuntimeError) {
        let path = folder + "/config.json"
        do throws(SystemError) {
            try writeFile(path, Array((spec.json.text(indent: "\t") + "\n").utf8), exclusive: true)
        } catch where error.errno == .fileExists {
            throw RuntimeError("File config.json exists. Remove it first")
        } catch { throw RuntimeError("cannot write \(path)", error) }
    }
}
