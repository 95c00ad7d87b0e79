import ArgumentParser
struct Root: ParsableCommand { static let configuration = CommandConfiguration(commandName: "nacelle-oci", version: "1"); @Option var root: String? ; func run() { print(root ?? "none") } }
Root.main()
