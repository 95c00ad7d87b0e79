internal import Synchronization

extension ImageStore {
    /// Which drivers can work in this store, found out by trying, and of the others why not.
    public func drivers() -> [(kind: DriverKind, support: DriverSupport)] {
        DriverKind.allCases.map { ($0, Drivers.driver($0).probe(in: paths.ingest)) }
    }

    /// The driver of new layers and containers: the configured one, or the first that can work.
    public func driverKind() throws(StoreError) -> DriverKind { try driver().kind }

    func driver() throws(StoreError) -> any StorageDriver {
        if let known = chosen.withLock({ $0 }) { return Drivers.driver(known) }
        for kind in configuration.driver.map({ [$0] }) ?? DriverKind.preferred {
            let driver = Drivers.driver(kind)
            switch driver.probe(in: paths.ingest) {
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
