public import ArgumentParser
public import ContainerRuntime
import KVM
import OCISpec

extension IsolationChoice: ExpressibleByArgument {}

extension NacelleOCI {
    /// The isolation of a new container.
    func isolation(for spec: RuntimeSpec) throws(RuntimeError) -> Isolation {
        let name = CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? ""
        return try IsolationChoice.resolve(flag: isolation, spec, programName: name, configured: configuration().isolation, log: makeLog(), whyNoMachine: Self.whyNoMachine)
    }

    private static func whyNoMachine() -> String? {
        switch KVMProbe.run() {
        case .absent: "there is no /dev/kvm"
        case .notPermitted: "this user may not open /dev/kvm"
        case .unusable(let reason): reason
        case .usable: nil
        }
    }
}
