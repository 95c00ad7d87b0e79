internal import JSONText

extension ResourcesSpec {
    /// These limits with what an update changes; what it leaves out stays.
    public func updated(by change: ResourcesSpec) -> ResourcesSpec {
        var unknown: [String] = []
        // Both are of the right shape, so is what they come to.
        guard var result = try? ResourcesSpec(JSONCursor(Self.merged(json, change.json)), unknown: &unknown) else { return self }
        // Memory without a limit has none together with swap either, unless that is said.
        if let limit = change.memory?.limit, limit < 0, change.memory?.swap == nil { result.memory?.swap = nil }
        return result
    }

    /// This change with what the kernel wants at once: both of quota and period, both of memory and swap.
    public func completed(from whole: ResourcesSpec) -> ResourcesSpec {
        var result = self
        if var own = cpu, own.quota != nil || own.period != nil {
            (own.quota, own.period) = (whole.cpu?.quota, whole.cpu?.period)
            result.cpu = own
        }
        if var own = memory, own.limit != nil || own.swap != nil {
            (own.limit, own.swap) = (whole.memory?.limit, whole.memory?.swap)
            result.memory = own
        }
        return result
    }

    /// A change as engines send it: zeros, which mean that nothing was said, and device rules, which no update changes, are left out.
    public var asChange: ResourcesSpec {
        var result = self
        result.devices = []
        func given<N: FixedWidthInteger>(_ value: N?) -> N? { value == 0 ? nil : value }
        if var own = memory {
            (own.limit, own.swap, own.reservation) = (given(own.limit), given(own.swap), given(own.reservation))
            (own.kernel, own.kernelTCP) = (nil, nil)
            result.memory = own == MemorySpec() ? nil : own
        }
        if var own = cpu {
            (own.shares, own.quota, own.period) = (given(own.shares), given(own.quota), given(own.period))
            if own.cpus?.isEmpty == true { own.cpus = nil }
            if own.mems?.isEmpty == true { own.mems = nil }
            result.cpu = own == CPUSpec() ? nil : own
        }
        if given(pids?.limit) == nil { result.pids = nil }
        result.blockIO?.weight = given(blockIO?.weight)
        if result.blockIO == BlockIOSpec() { result.blockIO = nil }
        return result
    }

    /// Objects are merged, elements of lists by what they are for, all else is replaced.
    private static func merged(_ old: JSONValue, _ new: JSONValue) -> JSONValue {
        switch (old, new) {
        case (.object(var object), .object(let change)):
            for (key, value) in change.members { object[key] = object[key].map { merged($0, value) } ?? value }
            return .object(object)
        case (.array(var elements), .array(let changes)):
            for change in changes {
                if let index = elements.firstIndex(where: { identity($0) == identity(change) }) {
                    elements[index] = merged(elements[index], change)
                } else {
                    elements.append(change)
                }
            }
            return .array(elements)
        default: return new
        }
    }

    private static func identity(_ element: JSONValue) -> [JSONValue] {
        guard case .object(let object) = element else { return [element] }
        return ["major", "minor", "pageSize", "name"].map { object[$0] ?? .null }
    }
}
