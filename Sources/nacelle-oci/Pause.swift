import ArgumentParser
import ContainerRuntime

struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "pause", abstract: "Stop all of a container's processes, or its machine.")
    @ParentCommand var parent: NacelleOCI
    @Argument(help: "The container's name.") var id: String
    func run() throws { try parent.container(id).pause() }
}

struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Let a paused container go on.")
    @ParentCommand var parent: NacelleOCI
    @Argument(help: "The container's name.") var id: String
    func run() throws { try parent.container(id).resume() }
}
