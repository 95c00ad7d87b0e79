internal import Synchronization

extension ImageStore {
    /// Which drivers can work in this store, found out by trying, and of the others why not.
    public func drivers() throws(StoreError) -> [(kind: DriverKind, support: DriverSupport)] {
        let lease = try lease()
        defer { lease.end() }
        return DriverKind.allCases.map { ($0, Drivers.driver($0).probe("\(paths.ingest)/\(lease.name)")) }
    }

    /// The driver of new layers and containers: the configured one, or the first that can work.
    public func driverKind() throws(StoreError) -> DriverKind { try driver().kind }

    func driver() throws(StoreError) -> any StorageDriver {
        if let known = chosen.withLock({ $0 }) { return Drivers.driver(known) }
        // What a probe leaves behind if the process is killed goes with the lease.
        let lease = try lease()
        defer { lease.end() }
        for kind in configuration.driver.map({ [$0] }) ?? DriverKind.preferred {
            let driver = Drivers.driver(kind)
            switch driver.probe("\(paths.ingest)/\(lease.name)") {
            case .works:
                chosen.withLock { $0 = kind }
                return driver
            case .cannot(let reason):
                if configuration.driver != nil { throw .unsupported("the driver \(kind.rawValue) cannot work in \(root): \(reason)") }
            }
        }
        throw .unsupported("no driver can work in \(root)")
    }
}
