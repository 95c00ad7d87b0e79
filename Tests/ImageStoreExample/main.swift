// ImageStore's example: imports images, gives containers their files, and looks after a store.
//
//     image-store-example STORE [--driver DRIVER] [--no-sync] COMMAND
//       import LOCATION [NAME]      oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]
//       export NAME LOCATION
//       images | drivers | containers | collect
//       unpack NAME
//       create ID NAME | mount ID | unmount ID | diff ID | commit ID NAME | usage ID | remove ID
//       remove-name NAME
//       fsck [--layers] [--repair]
import Glibc
import ImageStore
import LayerArchive
import LinuxSystem
import OCIImage

func complain(_ message: String) -> Never {
    try? OwnedDescriptor(duplicating: 2).writeAll(Array("image-store-example: \(message)\n".utf8))
    exit(1)
}

func runCommand(_ store: ImageStore, _ command: String, _ words: [String]) throws {
    func word(_ index: Int) -> String { index < words.count ? words[index] : "" }
    switch command {
    case "import":
        let lease = try store.lease()
        let images = try store.importImages(from: ImageLocation(word(0)), lease: lease)
        for image in images {
            let name = words.count > 1 ? word(1) : image.name ?? "unnamed"
            try store.setName(name, to: image.descriptor, lease: lease)
            print("\(name) \(image.descriptor.digest)")
        }
        lease.end()
    case "export":
        guard let descriptor = try store.resolve(word(0)) else { complain("no image \(word(0))") }
        try store.export(descriptor, to: ImageLocation(word(1)))
    case "images":
        for image in try store.images() { print("\(image.name ?? "<none>") \(image.descriptor.digest)") }
    case "drivers":
        for (kind, support) in try store.drivers() {
            switch support {
            case .works: print("\(kind.rawValue): works")
            case .cannot(let reason): print("\(kind.rawValue): \(reason)")
            }
        }
        print("chosen: \(try store.driverKind().rawValue)")
    case "unpack":
        let lease = try store.lease()
        let image = try store.image(named: word(0))
        for index in image.chainIDs.indices {
            let report = try store.unpack(layer: index, of: image, lease: lease)
            print("\(image.chainIDs[index]) \(report.map { "\($0.entryCount) entries, \($0.contentSize) bytes \($0.skipped)" } ?? "is there")")
        }
    case "containers":
        for id in try store.containers() { print(id) }
    case "create":
        let container = try store.createContainer(word(0), from: try store.image(named: word(1)))
        print(store.root(of: container))
    case "mount": print(try store.mount(store.container(word(0))))
    case "unmount": try store.unmount(store.container(word(0)))
    case "usage": print(try store.usage(of: store.container(word(0))))
    case "diff":
        try store.changes(of: store.container(word(0))) { (change) throws(LayerError) in
            let letter = switch change.kind {
            case .added: "A"
            case .modified: "C"
            case .removed: "D"
            case .emptied: "E"
            }
            print("\(letter) \(change.displayPath)")
        }
    case "commit":
        let lease = try store.lease()
        let descriptor = try store.commit(store.container(word(0)), lease: lease) { configuration in
            configuration.history.append(HistoryEntry(createdBy: "image-store-example commit"))
        }
        try store.setName(word(1), to: descriptor, lease: lease)
        print(descriptor.digest)
    case "remove": try store.removeContainer(word(0))
    case "remove-name": print(try store.removeName(word(0)).map { "\($0.digest)" } ?? "no such name")
    case "collect": print(try store.collect())
    case "fsck":
        var options = FsckOptions()
        options.layers = words.contains("--layers")
        options.repair = words.contains("--repair")
        let problems = try store.fsck(options)
        for problem in problems { print(problem) }
        if !problems.isEmpty { exit(2) }
    default: complain("no command \(command)")
    }
}

var words = Array(CommandLine.arguments.dropFirst())
guard !words.isEmpty else { complain("no store named") }
let root = words.removeFirst()
var configuration = StoreConfiguration()
while let first = words.first, first.hasPrefix("--") {
    words.removeFirst()
    switch first {
    case "--driver" where !words.isEmpty:
        guard let kind = DriverKind(rawValue: words.removeFirst()) else { complain("no such driver") }
        configuration.driver = kind
    case "--no-sync": configuration.synchronize = false
    default: complain("no option \(first)")
    }
}
guard !words.isEmpty else { complain("no command") }
let command = words.removeFirst()
do {
    let store = try ImageStore(root, configuration: configuration)
    try runCommand(store, command, words)
} catch { complain("\(error)") }
